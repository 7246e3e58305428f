/*
 * The limit of what a callback interface can do: each completion submits the next I/O from inside its callback. No
 * latencies, no histogram, nothing but a count.
 */
#include "loop.h"

#include "spdk/bdev.h"
#include "spdk/env.h"

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
	struct workload workload;
	uint32_t in_flight;
};

static uint32_t g_io_blocks;
static struct worker *g_workers;
static uint32_t g_worker_count;
static uint32_t g_running;

static void submit(struct slot *slot);

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
	loop_ended(g_worker_count);
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
		fail("an I/O failed", -EIO);
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
	uint64_t place;
	int rc;

	if (is_stopped()) {
		leave(slot);
		return;
	}
	if (next_io(&worker->workload, &place)) {
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
		fail("an I/O cannot be submitted", rc);
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
bdev_event(enum spdk_bdev_event_type type, struct spdk_bdev *bdev, void *ctx)
{
	if (type == SPDK_BDEV_EVENT_REMOVE) {
		fail("the bdev was removed", -ENODEV);
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
		fail("the bdev cannot be used", rc);
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
		worker->workload.seed = FIRST_SEED * (g_worker_count + 1);
		worker->workload.next = g_worker_count * (g_size_in_ios / spdk_env_get_core_count());
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
	loop_start(count);
}

int
main(int argc, char **argv)
{
	int rc = loop_main(argc, argv, "bdev_loop", "the bdev (default: the first)", start);

	free(g_workers);
	return rc;
}
