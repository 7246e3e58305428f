/*
 * The frame of the loops, for the one source file of a program: its switches, which are bdevperf's, what the next I/O
 * does and where, and how a run ends.
 */
#ifndef LOOP_H
#define LOOP_H

#include "measure.h"

#include "spdk/string.h"

static const char *g_bdev_name;
static int64_t g_queue_depth = 1;
static int64_t g_io_size = 4096;
static int64_t g_read_percent = -1;
static bool g_random;
/* For how many I/Os there is room. */
static uint64_t g_size_in_ios;

static int g_rc;
/* Set by the app thread, seen by every other one at its next completion. */
static bool g_stop;

static uint64_t g_ios;
static double g_measured;
static double g_busy;

static void
fail(const char *what, int rc)
{
	fprintf(stderr, "%s: %s\n", what, spdk_strerror(-rc));
	__atomic_store_n(&g_rc, rc, __ATOMIC_RELAXED);
	__atomic_store_n(&g_stop, true, __ATOMIC_RELAXED);
}

static bool
is_stopped(void)
{
	return spdk_unlikely(__atomic_load_n(&g_stop, __ATOMIC_RELAXED));
}

/* What the I/Os of an spdk_thread are like. */
struct workload {
	uint64_t seed;
	uint64_t next;
};

static const uint64_t FIRST_SEED = 0x9e3779b97f4a7c15;

static uint64_t
random_number(struct workload *workload)
{
	uint64_t x = workload->seed;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	workload->seed = x;
	return x;
}

/* Returns whether the next I/O is a read, and how many lie before its place. */
static bool
next_io(struct workload *workload, uint64_t *place)
{
	if (g_random) {
		*place = ((unsigned __int128)random_number(workload) * g_size_in_ios) >> 64;
	} else {
		*place = workload->next;
		workload->next = *place + 1 == g_size_in_ios ? 0 : *place + 1;
	}
	if (g_read_percent == 100) {
		return true;
	} else if (g_read_percent == 0) {
		return false;
	} else {
		return random_number(workload) % 100 < (uint64_t)g_read_percent;
	}
}

static void
measured(uint64_t ios, double seconds, double busy)
{
	g_busy = busy;
	g_ios = ios;
	g_measured = seconds;
	__atomic_store_n(&g_stop, true, __ATOMIC_RELAXED);
}

/* Measures until the time is over, or something fails; then the I/Os in flight are the last. */
static void
loop_start(measure_count count)
{
	measure_start(count, measured);
}

/* Nothing is left of the loop. */
static void
loop_ended(uint32_t cores)
{
	if (g_rc == 0) {
		printf("{\"iops\": %.1f, \"ios\": %" PRIu64 ", \"seconds\": %.6f, \"busy\": %.4f, \"cores\": %u}\n",
		       g_ios / g_measured, g_ios, g_measured, g_busy, cores);
	}
	spdk_app_stop(g_rc);
}

static int64_t g_mix = 50;
static bool g_workload_given;
static const char *g_bdev_usage;

static int
parse_workload(const char *name)
{
	g_workload_given = true;
	g_random = strncmp(name, "rand", 4) == 0;
	name += g_random ? 4 : 0;
	if (strcmp(name, "read") == 0) {
		g_read_percent = 100;
	} else if (strcmp(name, "write") == 0) {
		g_read_percent = 0;
	} else if (strcmp(name, "rw") != 0) {
		fprintf(stderr, "-w must be read, write, rw, randread, randwrite or randrw\n");
		return -EINVAL;
	}
	return 0;
}

static int
parse_arg(int option, char *value)
{
	int rc = measure_parse(option, value);

	if (rc != -ENOENT) {
		return rc;
	}
	switch (option) {
	case 'q':
		g_queue_depth = parse_number(value, 1);
		return g_queue_depth < 0 ? -EINVAL : 0;
	case 'o':
		g_io_size = parse_number(value, 512);
		return g_io_size < 0 ? -EINVAL : 0;
	case 'M':
		g_mix = parse_number(value, 0);
		if (g_mix > 100) {
			fprintf(stderr, "-M must be 0 to 100\n");
		}
		return g_mix < 0 || g_mix > 100 ? -EINVAL : 0;
	case 'T':
		g_bdev_name = value;
		return 0;
	case 'w':
		return parse_workload(value);
	default:
		return -EINVAL;
	}
}

static void
usage(void)
{
	printf(" -q <depth>                I/Os in flight on each core (default 1)\n");
	printf(" -o <size>                 bytes of an I/O (default 4096)\n");
	printf(" -w <type>                 read, write, rw, randread, randwrite or randrw\n");
	printf(" -M <percent>              reads among the I/Os of rw and randrw (default 50)\n");
	printf(" -T <bdev>                 %s\n", g_bdev_usage);
	measure_usage();
}

/* `start` opens what the I/Os are for, on the app thread. */
static int
loop_main(int argc, char **argv, const char *name, const char *bdev_usage, spdk_msg_fn start)
{
	struct spdk_app_opts opts = {};
	int rc;

	g_bdev_usage = bdev_usage;
	spdk_app_opts_init(&opts, sizeof(opts));
	opts.name = name;
	opts.rpc_addr = NULL;
	opts.print_level = SPDK_LOG_WARN;
	rc = spdk_app_parse_args(argc, argv, &opts, "q:o:w:M:T:" MEASURE_GETOPT, g_measure_options,
				 parse_arg, usage);
	if (rc != SPDK_APP_PARSE_ARGS_SUCCESS) {
		return rc == SPDK_APP_PARSE_ARGS_HELP ? 0 : 1;
	}
	if (!g_workload_given) {
		fprintf(stderr, "-w is missing\n");
		return 1;
	}
	if (g_read_percent < 0) {
		g_read_percent = g_mix;
	}
	rc = spdk_app_start(&opts, start, NULL);
	spdk_app_fini();
	return rc != 0;
}

#endif
