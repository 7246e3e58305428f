/* What the programs in C share: the times of a run, and its phases. */
#ifndef MEASURE_H
#define MEASURE_H

#include "spdk/stdinc.h"

#include "spdk/event.h"
#include "spdk/thread.h"

/* -t and --warmup, in seconds; fractions are accepted. */
extern double g_seconds;
extern double g_warmup;

enum { OPTION_WARMUP = 0x1000 };

/* For spdk_app_parse_args(). */
#define MEASURE_GETOPT "t:"
extern const struct option g_measure_options[];

void measure_usage(void);

/* Takes one of the options above. Returns 0, -EINVAL for a bad value, -ENOENT for another option. */
int measure_parse(int option, const char *value);

/* A whole number from `least` on, or -EINVAL. */
int64_t parse_number(const char *text, int64_t least);

typedef uint64_t (*measure_count)(void);
/* `busy` is the part of the time in which the app thread had something to do. */
typedef void (*measure_end)(uint64_t count, double seconds, double busy);

/*
 * Counts from the end of the warm-up for the time asked for, then calls `end` with the difference and the exact
 * time. Called on the app thread, like both functions.
 */
void measure_start(measure_count count, measure_end end);

/* Stops without calling `end`, for a run that has failed. */
void measure_cancel(void);

#endif
