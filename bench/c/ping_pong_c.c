/*
 * Round trips of messages between two spdk_threads: one on the first core of the mask, the other on the last, which may
 * be the same core.
 */
#include "measure.h"

#include "spdk/env.h"

static struct spdk_thread *g_here;
static struct spdk_thread *g_there;
static uint64_t g_round_trips;
static uint64_t g_counted;
static double g_measured;
static bool g_stop;

static void ping(void *arg);

static void
there_ended(void *arg)
{
	printf("{\"round_trips_per_s\": %.1f, \"round_trips\": %" PRIu64 ", \"seconds\": %.6f}\n",
	       g_counted / g_measured, g_counted, g_measured);
	spdk_app_stop(0);
}

static void
there_end(void *arg)
{
	spdk_thread_exit(g_there);
	spdk_thread_send_msg(g_here, there_ended, NULL);
}

static void
pong(void *arg)
{
	g_round_trips++;
	spdk_thread_send_msg(g_there, g_stop ? there_end : ping, NULL);
}

static void
ping(void *arg)
{
	spdk_thread_send_msg(g_here, pong, NULL);
}

static uint64_t
count(void)
{
	return g_round_trips;
}

static void
end(uint64_t round_trips, double seconds, double busy)
{
	g_counted = round_trips;
	g_measured = seconds;
	g_stop = true;
}

static void
start(void *arg)
{
	struct spdk_cpuset core;

	spdk_cpuset_zero(&core);
	spdk_cpuset_set_cpu(&core, spdk_env_get_last_core(), true);
	g_here = spdk_get_thread();
	g_there = spdk_thread_create("there", &core);
	if (g_there == NULL) {
		fprintf(stderr, "there is no memory for an spdk_thread\n");
		spdk_app_stop(-ENOMEM);
		return;
	}
	spdk_thread_send_msg(g_there, ping, NULL);
	measure_start(count, end);
}

static int
parse_arg(int option, char *value)
{
	return measure_parse(option, value);
}

int
main(int argc, char **argv)
{
	struct spdk_app_opts opts = {};
	int rc;

	spdk_app_opts_init(&opts, sizeof(opts));
	opts.name = "ping_pong";
	opts.rpc_addr = NULL;
	opts.print_level = SPDK_LOG_WARN;
	rc = spdk_app_parse_args(argc, argv, &opts, MEASURE_GETOPT, g_measure_options, parse_arg,
				 measure_usage);
	if (rc != SPDK_APP_PARSE_ARGS_SUCCESS) {
		return rc == SPDK_APP_PARSE_ARGS_HELP ? 0 : 1;
	}
	rc = spdk_app_start(&opts, start, NULL);
	spdk_app_fini();
	return rc != 0;
}
