/* Convolutions whose weights are mostly zeros.  Called from sparse.py; types and sizes have been checked.
 *
 * The maps of a source become planes with their padding in them, one for each phase of the stride, so that a tap
 * of the kernel is one constant distance from the pixel in hand and many pixels are taken at once, whatever the
 * width of the map.  A filter is the list of its taps and their weights: for each, one load, one multiplication and one
 * addition on every vector of pixels.  What is computed between two rows is thrown away.
 *
 * Maps (N, C, H, W) in row-major order.  Compiled with -fopenmp and linked without it, as kernels.c is.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))
#define GRAIN 32768 /* elements; below, waking threads takes longer than the work */
#define MOST 8      /* vectors of pixels in hand; their sums stay in registers */

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- threads -------------------------------------------------------------------------------- */

typedef void work(const void *job, int64_t first, int64_t last);

/* Do units 0 .. units-1 of a job, each once, on at most so many threads. */
static void divide(work *task, const void *job, int64_t units, int64_t elements, int64_t threads)
{
    threads = elements < GRAIN ? 1 : smaller(threads, units);
#ifdef _OPENMP
    if (threads > 1) {
#pragma omp parallel for num_threads(threads) schedule(static, 1)
        for (int64_t i = 0; i < threads; i++)
            task(job, units * i / threads, units * (i + 1) / threads);
        return;
    }
#endif
    task(job, 0, units);
}

/* ---- what is to be done --------------------------------------------------------------------- */

typedef struct {
    const float *x;
    const int32_t *starts, *taps;
    const float *values, *bias; /* bias or NULL */
    float *out;
    int64_t images, channels, height, width, filters, height2, width2;
    int64_t kernel, stride, top, left;
    float low, high;
    /* of the planes */
    int64_t phases;            /* of one direction */
    int64_t row, rows, plane;  /* of one image, one channel and one phase */
    int64_t together, first;   /* images side by side in a line of pixels, and the first of them */
    int64_t length, blocks;    /* pixels of the line that matter, and the pieces they are taken in */
    int32_t *distances;        /* of the taps, from the pixel in hand */
    float *planes;
} convolution;

/* ---- planes ----------------------------------------------------------------------------------- */

/* One row of a plane: n numbers of which the one at i is from[i * stride - left], or 0 beyond the row that there is. */
static void spread(float *to, const float *from, int64_t n, int64_t width, int64_t stride, int64_t left)
{
    int64_t begin = smaller(n, left > 0 ? (left + stride - 1) / stride : 0);
    int64_t end = smaller(n, width + left > 0 ? (width + left + stride - 1) / stride : 0);
    end = end < begin ? begin : end;
    memset(to, 0, (size_t)begin * sizeof *to);
    if (stride == 1)
        memcpy(to + begin, from + begin - left, (size_t)(end - begin) * sizeof *to);
    else if (stride == 2)
        for (int64_t i = begin; i < end; i++)
            to[i] = from[2 * i - left];
    else
        for (int64_t i = begin; i < end; i++)
            to[i] = from[i * stride - left];
    memset(to + end, 0, (size_t)(n - end) * sizeof *to);
}

/* The planes of channels first .. last-1. */
static void fill(const void *job, int64_t first, int64_t last)
{
    const convolution *c = job;
    const int64_t count = smaller(c->together, c->images - c->first), stride = c->stride;
    for (int64_t channel = first; channel < last; channel++)
        for (int64_t phase = 0; phase < c->phases * c->phases; phase++) {
            const int64_t down = phase / c->phases - c->top, left = c->left - phase % c->phases;
            float *to = c->planes + (channel * c->phases * c->phases + phase) * c->together * c->plane;
            for (int64_t image = 0; image < count; image++) {
                const float *map = c->x + ((c->first + image) * c->channels + channel) * c->height * c->width;
                for (int64_t r = 0; r < c->rows; r++, to += c->row) {
                    const int64_t y = r * stride + down;
                    if (y < 0 || y >= c->height)
                        memset(to, 0, (size_t)c->row * sizeof *to);
                    else
                        spread(to, map + y * c->width, c->row, c->width, stride, left);
                }
            }
        }
}

static void measure(convolution *c)
{
    for (int64_t channel = 0, tap = 0; channel < c->channels; channel++)
        for (int64_t y = 0; y < c->kernel; y++)
            for (int64_t x = 0; x < c->kernel; x++, tap++) {
                const int64_t phase = y % c->stride * c->phases + x % c->stride;
                const int64_t plane = (channel * c->phases * c->phases + phase) * c->together * c->plane;
                c->distances[tap] = (int32_t)(plane + y / c->stride * c->row + x / c->stride);
            }
}

/* ---- sums ------------------------------------------------------------------------------------- */

/* The pixels of one filter, ``vectors`` times LANES of them. */
INLINE void sum(const convolution *c, const float *x, int64_t filter, const int vectors, float *to)
{
    lanes sums[MOST];
    const float bias = c->bias ? c->bias[filter] : 0, low = c->low, high = c->high;
    for (int v = 0; v < vectors; v++)
        sums[v] = (lanes){0} + bias;
    for (int64_t t = c->starts[filter], end = c->starts[filter + 1]; t < end; t++) {
        const float *from = x + c->distances[c->taps[t]];
        const lanes weight = (lanes){0} + c->values[t];
        for (int v = 0; v < vectors; v++)
            sums[v] += weight * *(const lanes *)(from + v * LANES);
    }
    for (int v = 0; v < vectors; v++)
        *(lanes *)(to + v * LANES) = sums[v];
    for (int i = 0; i < vectors * LANES; i++) {
        float y = to[i];
        y = y < low ? low : y; /* written so that NaN, of which no comparison is true, remains */
        to[i] = y > high ? high : y;
    }
}

static void sums_of(const convolution *c, const float *x, int64_t filter, int64_t vectors, float *to)
{
    switch (vectors) {
    case 1: sum(c, x, filter, 1, to); break;
    case 2: sum(c, x, filter, 2, to); break;
    case 3: sum(c, x, filter, 3, to); break;
    case 4: sum(c, x, filter, 4, to); break;
    case 5: sum(c, x, filter, 5, to); break;
    case 6: sum(c, x, filter, 6, to); break;
    case 7: sum(c, x, filter, 7, to); break;
    default: sum(c, x, filter, MOST, to);
    }
}

/* Pixels of a block that lie side by side in the result, too. */
typedef struct {
    int64_t from, to, count;
} piece;

static int64_t pieces_of(const convolution *c, int64_t begin, int64_t end, piece *pieces)
{
    const int64_t pixels = c->height2 * c->width2, whole = c->row == c->width2;
    const int64_t run = whole ? pixels : c->width2, stride = whole ? c->plane : c->row;
    int64_t count = 0;
    for (int64_t at = begin; at < end;) {
        const int64_t image = at / c->plane, within = at % c->plane, line = within / stride, left = within % stride;
        const int64_t there = whole || line < c->height2 ? run - left : 0;
        if (there > 0) {
            piece one = {at - begin, (c->first + image) * c->filters * pixels + line * run + left, 0};
            one.count = smaller(there, end - at);
            pieces[count++] = one;
        }
        at = smaller(image * c->plane + (line + 1) * stride, (image + 1) * c->plane);
    }
    return count;
}

INLINE void copy(float *to, const float *from, int64_t n)
{
    for (; n >= 8; n -= 8, to += 8, from += 8)
        memcpy(to, from, 32);
    for (; n > 0; n--)
        *to++ = *from++;
}

/* Blocks first .. last-1 of the line, all filters of each: what they read of the planes stays near. */
static void compute(const void *job, int64_t first, int64_t last)
{
    const convolution *c = job;
    const int64_t vectors = (c->length + LANES - 1) / LANES, pixels = c->height2 * c->width2;
    float sums[MOST * LANES];
    piece pieces[MOST * LANES];
    for (int64_t block = first; block < last; block++) {
        const int64_t begin = vectors * block / c->blocks, end = vectors * (block + 1) / c->blocks;
        const int64_t count = pieces_of(c, begin * LANES, smaller(end * LANES, c->length), pieces);
        for (int64_t filter = 0; filter < c->filters; filter++) {
            sums_of(c, c->planes + begin * LANES, filter, end - begin, sums);
            for (int64_t p = 0; p < count; p++)
                copy(c->out + pieces[p].to + filter * pixels, sums + pieces[p].from, pieces[p].count);
        }
    }
}

/* 1, or 0 where there is no memory.  Filter f has the taps starts[f] .. starts[f+1]-1; a tap is a place in its
 * (channels, kernel, kernel). */
EXPORT int edgewise_sparse_conv(
    const float *x, const int32_t *starts, const int32_t *taps, const float *values, const float *bias, float *out,
    int64_t images, int64_t channels, int64_t height, int64_t width, int64_t filters, int64_t height2, int64_t width2,
    int64_t kernel, int64_t stride, int64_t top, int64_t left, float low, float high, int64_t threads)
{
    convolution c = {
        .x = x, .starts = starts, .taps = taps, .values = values, .bias = bias, .out = out,
        .images = images, .channels = channels, .height = height, .width = width,
        .filters = filters, .height2 = height2, .width2 = width2,
        .kernel = kernel, .stride = stride, .top = top, .left = left, .low = low, .high = high,
    };
    c.phases = smaller(kernel, stride);
    c.row = width2 + (kernel - 1) / stride;
    c.rows = height2 + (kernel - 1) / stride;
    c.plane = c.row * c.rows;
    const int64_t alone = (height2 - 1) * c.row + width2; /* pixels of one image that matter */
    c.together = alone >= MOST / 2 * LANES ? 1 : smaller(images, (MOST * LANES + c.plane - 1) / c.plane);
    const int64_t size = channels * c.phases * c.phases * c.together * c.plane + MOST * LANES;
    const int64_t all = channels * kernel * kernel;
    c.planes = malloc((size_t)size * sizeof *c.planes);
    c.distances = malloc((size_t)all * sizeof *c.distances);
    if (c.planes && c.distances) {
        measure(&c);
        for (; c.first < images; c.first += c.together) {
            const int64_t count = smaller(c.together, images - c.first);
            c.length = (count - 1) * c.plane + alone;
            c.blocks = (c.length + MOST * LANES - 1) / (MOST * LANES);
            divide(fill, &c, channels, size, threads);
            divide(compute, &c, c.blocks, c.length * (starts[filters] + filters), threads);
        }
    }
    const int done = c.planes && c.distances;
    free(c.planes);
    free(c.distances);
    return done;
}
