#include "measure.h"

#include "spdk/env.h"

double g_seconds = 1.0;
double g_warmup = 0.1;

const struct option g_measure_options[] = {
	{"warmup", required_argument, NULL, OPTION_WARMUP},
	{NULL, 0, NULL, 0}
};

static measure_count g_count;
static measure_end g_end;
static struct spdk_poller *g_timer;
static uint64_t g_from_count;
static uint64_t g_from_ticks;
static struct spdk_thread_stats g_from_stats;

void
measure_usage(void)
{
	printf(" -t <seconds>              time to measure, after the warm-up (default 1)\n");
	printf("     --warmup <seconds>    time to run before (default 0.1)\n");
}

static int
parse_seconds(const char *text, double least, double *seconds)
{
	char *end;
	double value = strtod(text, &end);

	/* Written so that it refuses what is not a number, too. */
	if (end == text || *end != '\0' || !(value >= least && value <= 86400)) {
		fprintf(stderr, "\"%s\" is no time: seconds from %g to 86400 are\n", text, least);
		return -EINVAL;
	}
	*seconds = value;
	return 0;
}

int
measure_parse(int option, const char *value)
{
	switch (option) {
	case 't':
		return parse_seconds(value, 0.001, &g_seconds);
	case OPTION_WARMUP:
		return parse_seconds(value, 0, &g_warmup);
	default:
		return -ENOENT;
	}
}

int64_t
parse_number(const char *text, int64_t least)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < least || value > INT32_MAX) {
		fprintf(stderr, "\"%s\" cannot be used: whole numbers from %" PRId64 " on can\n", text, least);
		return -EINVAL;
	}
	return value;
}

static int
finish(void *arg)
{
	uint64_t count = g_count();
	uint64_t ticks = spdk_get_ticks();
	struct spdk_thread_stats stats = {};
	uint64_t busy, idle;

	spdk_poller_unregister(&g_timer);
	spdk_thread_get_stats(&stats);
	busy = stats.busy_tsc - g_from_stats.busy_tsc;
	idle = stats.idle_tsc - g_from_stats.idle_tsc;
	g_end(count - g_from_count, (double)(ticks - g_from_ticks) / spdk_get_ticks_hz(),
	      busy + idle > 0 ? (double)busy / (busy + idle) : 0);
	return SPDK_POLLER_BUSY;
}

static int
warm(void *arg)
{
	spdk_poller_unregister(&g_timer);
	spdk_thread_get_stats(&g_from_stats);
	g_from_count = g_count();
	g_from_ticks = spdk_get_ticks();
	g_timer = SPDK_POLLER_REGISTER(finish, NULL, (uint64_t)(g_seconds * SPDK_SEC_TO_USEC));
	return SPDK_POLLER_BUSY;
}

void
measure_start(measure_count count, measure_end end)
{
	g_count = count;
	g_end = end;
	/* A poller without a period would run in every round, also if the period came out as 0. */
	g_timer = SPDK_POLLER_REGISTER(warm, NULL, 1 + (uint64_t)(g_warmup * SPDK_SEC_TO_USEC));
}

void
measure_cancel(void)
{
	spdk_poller_unregister(&g_timer);
}
