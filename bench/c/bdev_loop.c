/*
 * The limit of what a callback interface can do: each completion submits the next I/O from inside its callback. No
 * latencies, no histogram, nothing but a count. It takes bdevperf's switches.
 */
#include "measure.h"

#include "spdk/bdev.h"
#include "spdk/env.h"
#include "spdk/string.h"

struct worker;

struct slot {
	struct worker *worker;
	void *buf;
	struct spdk_bdev_io_wait_entry wait;
};

/* One on each core. */
struct worker {
	struct spdk_thread *thread;
	struct spdk_bdev_desc *desc;
	struct spdk_io_channel *ch;
	struct slot *slots;
	/* Read by the app thread meanwhile. */
	uint64_t done;
	uint64_t seed;
	uint64_t next;
	uint32_t in_flight;
};

static const char *g_bdev_name;
static int64_t g_queue_depth = 1;
static int64_t g_io_size = 4096;
static int64_t g_read_percent = -1;
static bool g_random;

static uint64_t g_size_in_ios;
static uint32_t g_io_blocks;
static struct worker *g_workers;
static uint32_t g_worker_count;
static uint32_t g_running;
static uint64_t g_ios;
static double g_measured;
static double g_busy;
static int g_rc;
/* Set by the app thread, seen by each worker at its next completion. */
static bool g_stop;

static void submit(struct slot *slot);

static uint64_t
random_number(struct worker *worker)
{
	uint64_t x = worker->seed;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	worker->seed = x;
	return x;
}

static void
fail(int rc)
{
	__atomic_store_n(&g_rc, rc, __ATOMIC_RELAXED);
	__atomic_store_n(&g_stop, true, __ATOMIC_RELAXED);
}

static void
worker_free(struct worker *worker)
{
	if (worker->slots != NULL) {
		for (int64_t i = 0; i < g_queue_depth; i++) {
			spdk_dma_free(worker->slots[i].buf);
		}
		free(worker->slots);
	}
	if (worker->ch != NULL) {
		spdk_put_io_channel(worker->ch);
	}
	if (worker->desc != NULL) {
		spdk_bdev_close(worker->desc);
	}
}

static void
worker_ended(void *arg)
{
	if (--g_running > 0) {
		return;
	}
	measure_cancel();
	if (g_rc == 0) {
		printf("{\"iops\": %.1f, \"ios\": %" PRIu64 ", \"seconds\": %.6f, \"busy\": %.4f, \"cores\": %u}\n",
		       g_ios / g_measured, g_ios, g_measured, g_busy, g_worker_count);
	}
	spdk_app_stop(g_rc);
}

static void
worker_end(struct worker *worker)
{
	struct spdk_thread *app_thread = spdk_thread_get_app_thread();

	worker_free(worker);
	if (worker->thread != app_thread) {
		spdk_thread_exit(worker->thread);
	}
	spdk_thread_send_msg(app_thread, worker_ended, NULL);
}

static void
leave(struct slot *slot)
{
	if (--slot->worker->in_flight == 0) {
		worker_end(slot->worker);
	}
}

static void
complete(struct spdk_bdev_io *bdev_io, bool success, void *arg)
{
	struct slot *slot = arg;

	spdk_bdev_free_io(bdev_io);
	if (spdk_unlikely(!success)) {
		fprintf(stderr, "an I/O failed\n");
		fail(-EIO);
	}
	__atomic_store_n(&slot->worker->done, slot->worker->done + 1, __ATOMIC_RELAXED);
	submit(slot);
}

static void
resubmit(void *arg)
{
	submit(arg);
}

static void
submit(struct slot *slot)
{
	struct worker *worker = slot->worker;
	uint64_t place, x;
	bool is_read;
	int rc;

	if (spdk_unlikely(__atomic_load_n(&g_stop, __ATOMIC_RELAXED))) {
		leave(slot);
		return;
	}
	if (g_random) {
		x = random_number(worker);
		place = ((unsigned __int128)x * g_size_in_ios) >> 64;
	} else {
		place = worker->next;
		worker->next = place + 1 == g_size_in_ios ? 0 : place + 1;
	}
	if (g_read_percent == 100) {
		is_read = true;
	} else if (g_read_percent == 0) {
		is_read = false;
	} else {
		is_read = random_number(worker) % 100 < (uint64_t)g_read_percent;
	}
	if (is_read) {
		rc = spdk_bdev_read_blocks(worker->desc, worker->ch, slot->buf, place * g_io_blocks, g_io_blocks,
					   complete, slot);
	} else {
		rc = spdk_bdev_write_blocks(worker->desc, worker->ch, slot->buf, place * g_io_blocks, g_io_blocks,
					    complete, slot);
	}
	if (spdk_unlikely(rc == -ENOMEM)) {
		slot->wait.bdev = spdk_bdev_desc_get_bdev(worker->desc);
		slot->wait.cb_fn = resubmit;
		slot->wait.cb_arg = slot;
		rc = spdk_bdev_queue_io_wait(slot->wait.bdev, worker->ch, &slot->wait);
	}
	if (spdk_unlikely(rc != 0)) {
		fprintf(stderr, "an I/O cannot be submitted: %s\n", spdk_strerror(-rc));
		fail(rc);
		leave(slot);
	}
}

static uint64_t
count(void)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < g_worker_count; i++) {
		sum += __atomic_load_n(&g_workers[i].done, __ATOMIC_RELAXED);
	}
	return sum;
}

static void
end(uint64_t ios, double seconds, double busy)
{
	g_busy = busy;
	g_ios = ios;
	g_measured = seconds;
	__atomic_store_n(&g_stop, true, __ATOMIC_RELAXED);
}

static void
bdev_event(enum spdk_bdev_event_type type, struct spdk_bdev *bdev, void *ctx)
{
	if (type == SPDK_BDEV_EVENT_REMOVE) {
		fprintf(stderr, "the bdev was removed\n");
		fail(-ENODEV);
	}
}

static int
worker_open(struct worker *worker)
{
	size_t align;
	int rc;

	rc = spdk_bdev_open_ext(g_bdev_name, g_read_percent < 100, bdev_event, NULL, &worker->desc);
	if (rc != 0) {
		return rc;
	}
	worker->ch = spdk_bdev_get_io_channel(worker->desc);
	worker->slots = calloc(g_queue_depth, sizeof(*worker->slots));
	if (worker->ch == NULL || worker->slots == NULL) {
		return -ENOMEM;
	}
	align = spdk_max(spdk_bdev_get_buf_align(spdk_bdev_desc_get_bdev(worker->desc)), 4096);
	for (int64_t i = 0; i < g_queue_depth; i++) {
		worker->slots[i].worker = worker;
		worker->slots[i].buf = spdk_dma_zmalloc(g_io_size, align, NULL);
		if (worker->slots[i].buf == NULL) {
			return -ENOMEM;
		}
	}
	return 0;
}

static void
worker_run(void *arg)
{
	struct worker *worker = arg;
	int rc;

	rc = worker_open(worker);
	if (rc != 0) {
		fprintf(stderr, "bdev \"%s\" cannot be used: %s\n", g_bdev_name, spdk_strerror(-rc));
		fail(rc);
		worker_end(worker);
		return;
	}
	/* A submission that fails must not find the others finished. */
	worker->in_flight = g_queue_depth;
	for (int64_t i = 0; i < g_queue_depth; i++) {
		submit(&worker->slots[i]);
	}
}

static int
create_workers(void)
{
	struct spdk_cpuset core;
	uint32_t i;
	struct worker *worker;

	g_workers = calloc(spdk_env_get_core_count(), sizeof(*g_workers));
	if (g_workers == NULL) {
		return -ENOMEM;
	}
	SPDK_ENV_FOREACH_CORE(i) {
		worker = &g_workers[g_worker_count];
		worker->seed = 0x9e3779b97f4a7c15 * (g_worker_count + 1);
		worker->next = g_worker_count * (g_size_in_ios / spdk_env_get_core_count());
		if (i == spdk_env_get_current_core()) {
			worker->thread = spdk_get_thread();
		} else {
			spdk_cpuset_zero(&core);
			spdk_cpuset_set_cpu(&core, i, true);
			worker->thread = spdk_thread_create("worker", &core);
		}
		if (worker->thread == NULL) {
			return -ENOMEM;
		}
		g_worker_count++;
	}
	return 0;
}

static int
check_bdev(void)
{
	struct spdk_bdev *bdev;
	uint32_t block_size;

	bdev = g_bdev_name != NULL ? spdk_bdev_get_by_name(g_bdev_name) : spdk_bdev_first_leaf();
	if (bdev == NULL) {
		fprintf(stderr, "there is no bdev %s\n", g_bdev_name != NULL ? g_bdev_name : "at all");
		return -ENODEV;
	}
	g_bdev_name = spdk_bdev_get_name(bdev);
	block_size = spdk_bdev_get_block_size(bdev);
	g_io_blocks = g_io_size / block_size;
	if (g_io_size % block_size != 0) {
		fprintf(stderr, "%" PRId64 " bytes are not a multiple of the block size, %u\n", g_io_size, block_size);
		return -EINVAL;
	}
	g_size_in_ios = spdk_bdev_get_num_blocks(bdev) / g_io_blocks;
	if (g_size_in_ios == 0) {
		fprintf(stderr, "bdev \"%s\" is smaller than an I/O\n", g_bdev_name);
		return -EINVAL;
	}
	return 0;
}

static void
start(void *arg)
{
	int rc;

	rc = check_bdev();
	if (rc == 0) {
		rc = create_workers();
	}
	if (rc != 0) {
		spdk_app_stop(rc);
		return;
	}
	g_running = g_worker_count;
	for (uint32_t i = 0; i < g_worker_count; i++) {
		spdk_thread_send_msg(g_workers[i].thread, worker_run, &g_workers[i]);
	}
	measure_start(count, end);
}

static int
parse_workload(const char *name)
{
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

static int64_t g_mix = 50;
static bool g_workload_given;

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
		g_workload_given = true;
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
	printf(" -T <bdev>                 the bdev (default: the first)\n");
	measure_usage();
}

int
main(int argc, char **argv)
{
	struct spdk_app_opts opts = {};
	int rc;

	spdk_app_opts_init(&opts, sizeof(opts));
	opts.name = "bdev_loop";
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
	free(g_workers);
	return rc != 0;
}
