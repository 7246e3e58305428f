/*
 * What bdev_loop.c does, with a blob: each completion submits the next I/O from inside its callback. No latencies, no
 * histogram, nothing but a count. The blob takes the whole bdev and is written once before.
 */
#include "loop.h"

#include "spdk/blob.h"
#include "spdk/blob_bdev.h"
#include "spdk/env.h"

struct slot {
	void *buf;
};

static struct spdk_bs_dev *g_dev;
static struct spdk_blob_store *g_bs;
static struct spdk_blob *g_blob;
static struct spdk_io_channel *g_ch;
static struct slot *g_slots;

static uint64_t g_io_units;
static uint64_t g_units_per_cluster;
static uint64_t g_written;
static void *g_cluster;

static struct workload g_workload = {.seed = FIRST_SEED};
static uint64_t g_done;
static int64_t g_in_flight;

static void submit(struct slot *slot);

static void
unloaded(void *arg, int rc)
{
	if (rc != 0) {
		fail("the blobstore cannot be unloaded", rc);
	}
	loop_ended(1);
}

static void
closed(void *arg, int rc)
{
	if (rc != 0) {
		fail("the blob cannot be closed", rc);
	}
	spdk_bs_unload(g_bs, unloaded, NULL);
}

static void
finish(void)
{
	measure_cancel();
	if (g_slots != NULL) {
		for (int64_t i = 0; i < g_queue_depth; i++) {
			spdk_dma_free(g_slots[i].buf);
		}
		free(g_slots);
	}
	spdk_dma_free(g_cluster);
	if (g_ch != NULL) {
		spdk_bs_free_io_channel(g_ch);
	}
	if (g_blob != NULL) {
		spdk_blob_close(g_blob, closed, NULL);
	} else if (g_bs != NULL) {
		spdk_bs_unload(g_bs, unloaded, NULL);
	} else {
		spdk_app_stop(g_rc);
	}
}

static void
complete(void *arg, int rc)
{
	struct slot *slot = arg;

	if (spdk_unlikely(rc != 0)) {
		fail("an I/O failed", rc);
	}
	g_done++;
	submit(slot);
}

static void
submit(struct slot *slot)
{
	uint64_t place;

	if (is_stopped()) {
		if (--g_in_flight == 0) {
			finish();
		}
		return;
	}
	/* The channel has requests for all that are in flight, so that none is refused. */
	if (next_io(&g_workload, &place)) {
		spdk_blob_io_read(g_blob, g_ch, slot->buf, place * g_io_units, g_io_units, complete, slot);
	} else {
		spdk_blob_io_write(g_blob, g_ch, slot->buf, place * g_io_units, g_io_units, complete, slot);
	}
}

static uint64_t
count(void)
{
	return g_done;
}

static void
run(void)
{
	spdk_dma_free(g_cluster);
	g_cluster = NULL;
	g_slots = calloc(g_queue_depth, sizeof(*g_slots));
	for (int64_t i = 0; g_slots != NULL && i < g_queue_depth; i++) {
		g_slots[i].buf = spdk_dma_zmalloc(g_io_size, 4096, NULL);
		if (g_slots[i].buf == NULL) {
			fail("there are no buffers", -ENOMEM);
		}
	}
	if (g_slots == NULL || g_rc != 0) {
		g_rc = -ENOMEM;
		finish();
		return;
	}
	g_in_flight = g_queue_depth;
	for (int64_t i = 0; i < g_queue_depth; i++) {
		submit(&g_slots[i]);
	}
	loop_start(count);
}

static void
write_next(void *arg, int rc)
{
	uint64_t at = g_written;

	if (rc != 0) {
		fail("the blob cannot be written", rc);
		finish();
		return;
	}
	if (at == spdk_blob_get_num_io_units(g_blob)) {
		run();
		return;
	}
	g_written += g_units_per_cluster;
	spdk_blob_io_write(g_blob, g_ch, g_cluster, at, g_units_per_cluster, write_next, NULL);
}

static void
opened(void *arg, struct spdk_blob *blob, int rc)
{
	uint64_t unit = spdk_bs_get_io_unit_size(g_bs);
	uint64_t cluster = spdk_bs_get_cluster_size(g_bs);

	if (rc != 0) {
		fail("the blob cannot be opened", rc);
		finish();
		return;
	}
	g_blob = blob;
	g_io_units = g_io_size / unit;
	g_units_per_cluster = cluster / unit;
	g_size_in_ios = spdk_blob_get_num_io_units(blob) * unit / g_io_size;
	g_ch = spdk_bs_alloc_io_channel(g_bs);
	g_cluster = spdk_dma_zmalloc(cluster, 4096, NULL);
	if (g_io_size % unit != 0 || g_size_in_ios == 0) {
		fprintf(stderr, "an I/O must be a multiple of %" PRIu64 " bytes, and smaller than the blob\n", unit);
		g_rc = -EINVAL;
	} else if (g_ch == NULL || g_cluster == NULL) {
		fail("there is no memory", -ENOMEM);
	}
	if (g_rc != 0) {
		finish();
		return;
	}
	write_next(NULL, 0);
}

static void
created(void *arg, spdk_blob_id id, int rc)
{
	if (rc != 0) {
		fail("the blob cannot be made", rc);
		finish();
		return;
	}
	spdk_bs_open_blob(g_bs, id, opened, NULL);
}

static void
initialized(void *arg, struct spdk_blob_store *bs, int rc)
{
	struct spdk_blob_opts opts;

	if (rc != 0) {
		fail("the blobstore cannot be made", rc);
		finish();
		return;
	}
	g_bs = bs;
	spdk_blob_opts_init(&opts, sizeof(opts));
	opts.num_clusters = spdk_bs_free_cluster_count(bs);
	spdk_bs_create_blob_ext(bs, &opts, created, NULL);
}

static void
bdev_event(enum spdk_bdev_event_type type, struct spdk_bdev *bdev, void *ctx)
{
	if (type == SPDK_BDEV_EVENT_REMOVE) {
		fail("the bdev was removed", -ENODEV);
	}
}

static void
start(void *arg)
{
	struct spdk_bs_opts opts;
	int rc;

	if (g_bdev_name == NULL) {
		fprintf(stderr, "-T is missing\n");
		spdk_app_stop(-EINVAL);
		return;
	}
	rc = spdk_bdev_create_bs_dev_ext(g_bdev_name, bdev_event, NULL, &g_dev);
	if (rc != 0) {
		fprintf(stderr, "bdev \"%s\" cannot be used: %s\n", g_bdev_name, spdk_strerror(-rc));
		spdk_app_stop(rc);
		return;
	}
	spdk_bs_opts_init(&opts, sizeof(opts));
	opts.max_channel_ops = spdk_max(opts.max_channel_ops, g_queue_depth);
	spdk_bs_init(g_dev, &opts, initialized, NULL);
}

int
main(int argc, char **argv)
{
	return loop_main(argc, argv, "blob_loop", "the bdev, which gets a blobstore", start);
}
