/* Counts the bytes that malloc and its kin have given out and not got back, and their highest number.
 *
 * Preloaded before everything else (LD_PRELOAD), so that it sees torch, oneDNN, numpy and Python alike.
 * The work is done by glibc under its internal names, which need no looking up and so no memory before
 * memory can be had.  A block counts with its usable size, which is a little more than was asked for.
 * Not seen: memory mapped past malloc, such as Python's arenas for objects up to 512 bytes.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <unistd.h>

#ifndef __GLIBC__
#error "the heap counter needs glibc"
#endif

#define EXPORT __attribute__((visibility("default")))

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static int64_t live, peak; /* bytes */

static void *taken(void *block)
{
    if (block) {
        int64_t size = (int64_t)malloc_usable_size(block);
        int64_t now = __atomic_add_fetch(&live, size, __ATOMIC_RELAXED);
        int64_t highest = __atomic_load_n(&peak, __ATOMIC_RELAXED);
        while (now > highest &&
               !__atomic_compare_exchange_n(&peak, &highest, now, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            ;
    }
    return block;
}

EXPORT int64_t edgewise_heap_live(void) { return __atomic_load_n(&live, __ATOMIC_RELAXED); }
EXPORT int64_t edgewise_heap_peak(void) { return __atomic_load_n(&peak, __ATOMIC_RELAXED); }
EXPORT void edgewise_heap_reset(void) { __atomic_store_n(&peak, edgewise_heap_live(), __ATOMIC_RELAXED); }

EXPORT void *malloc(size_t size) { return taken(__libc_malloc(size)); }
EXPORT void *calloc(size_t count, size_t size) { return taken(__libc_calloc(count, size)); }

EXPORT void free(void *block)
{
    if (block) {
        __atomic_sub_fetch(&live, (int64_t)malloc_usable_size(block), __ATOMIC_RELAXED);
        __libc_free(block);
    }
}

/* What a block that moves takes in the instant of copying is not counted: large ones are remapped. */
EXPORT void *realloc(void *block, size_t size)
{
    if (block)
        __atomic_sub_fetch(&live, (int64_t)malloc_usable_size(block), __ATOMIC_RELAXED);
    void *moved = __libc_realloc(block, size);
    if (!moved && size)
        taken(block); /* it failed, and the old block is still there */
    return taken(moved);
}

EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return 0;
    }
    return realloc(block, total);
}

EXPORT void *memalign(size_t alignment, size_t size) { return taken(__libc_memalign(alignment, size)); }
EXPORT void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
EXPORT void *valloc(size_t size) { return memalign((size_t)sysconf(_SC_PAGESIZE), size); }

EXPORT void *pvalloc(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return memalign(page, (size + page - 1) / page * page);
}

EXPORT int posix_memalign(void **block, size_t alignment, size_t size)
{
    if (alignment % sizeof(void *) || alignment == 0 || alignment & (alignment - 1))
        return EINVAL;
    int before = errno;
    void *given = memalign(alignment, size);
    errno = before; /* this one answers with its result alone */
    if (!given)
        return ENOMEM;
    *block = given;
    return 0;
}
