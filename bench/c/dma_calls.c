/* Counts the calls that allocate SPDK's memory, its own included: the linker's --wrap leads them here. */
#include "spdk/stdinc.h"

#include "spdk/env.h"

static uint64_t g_calls;

uint64_t dma_calls(void);

uint64_t
dma_calls(void)
{
	return __atomic_load_n(&g_calls, __ATOMIC_RELAXED);
}

#define COUNTED(name, parameters, arguments) \
	void *__real_##name parameters; \
	void *__wrap_##name parameters; \
	void *__wrap_##name parameters \
	{ \
		__atomic_fetch_add(&g_calls, 1, __ATOMIC_RELAXED); \
		return __real_##name arguments; \
	}

COUNTED(spdk_dma_malloc, (size_t size, size_t align, uint64_t *unused), (size, align, unused))
COUNTED(spdk_dma_zmalloc, (size_t size, size_t align, uint64_t *unused), (size, align, unused))
COUNTED(spdk_malloc, (size_t size, size_t align, uint64_t *unused, int numa_id, uint32_t flags),
	(size, align, unused, numa_id, flags))
COUNTED(spdk_zmalloc, (size_t size, size_t align, uint64_t *unused, int numa_id, uint32_t flags),
	(size, align, unused, numa_id, flags))
