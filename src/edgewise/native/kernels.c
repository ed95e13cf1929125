/* Loops that torch has no single operation for: clamps that keep one bit an element, masks of such
 * bits, batch norms, standardised rows, steps of Adam, and depthwise convolutions with their bias, clamp
 * and gradients.  Called from kernels.py; types and sizes have been checked.
 *
 * Maps are channels last, pixels times channels in row-major order.  Bits lie in the same order, the
 * first element in the lowest bit of the first byte.  Numbers that are not a number stay so.
 *
 * This file is compiled with -fopenmp and linked without it: the calls go to the OpenMP runtime that
 * torch has loaded.  A second one, with threads of its own, would fight for the same processors.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))
#define GRAIN 32768 /* elements; below, waking threads takes longer than the work */
#define PIECE 4096  /* elements that stay in the first cache between two loops over them */

#if defined(__AVX512F__)
/* A value loaded once and used often stays in its register; gcc would read it again for every use. */
#define KEEP(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#define KEEP(v) __asm__("" : "+w"(v))
#else
#define KEEP(v) (void)(v)
#endif

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

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

/* So many rows of n elements fill whole bytes of bits, so that no two threads write into one byte. */
static int64_t rows_to_a_byte(int64_t n)
{
    return n % 8 == 0 ? 1 : n % 4 == 0 ? 2 : n % 2 == 0 ? 4 : 8;
}

/* ---- bits ----------------------------------------------------------------------------------- */

/* A bound that is infinite is none.  No comparison with NaN is true, so it bounds nothing. */
static float bound(float value) { return isinf(value) ? NAN : value; }

/* Eight bits: is the element inside the bounds?  It is out where y <= low or y >= high, so NaN is inside.
 * Whether y has been clamped before makes no difference. */
INLINE unsigned inside(const float *y, float low, float high)
{
#if defined(__AVX__)
    __m256 v = _mm256_loadu_ps(y);
    __m256 above = _mm256_cmp_ps(v, _mm256_set1_ps(low), _CMP_NLE_UQ);
    return (unsigned)_mm256_movemask_ps(
        _mm256_and_ps(above, _mm256_cmp_ps(v, _mm256_set1_ps(high), _CMP_NGE_UQ)));
#elif defined(__SSE2__)
    __m128 l = _mm_set1_ps(low), h = _mm_set1_ps(high), a = _mm_loadu_ps(y), b = _mm_loadu_ps(y + 4);
    unsigned first = (unsigned)_mm_movemask_ps(_mm_and_ps(_mm_cmpnle_ps(a, l), _mm_cmpnge_ps(a, h)));
    return first | (unsigned)_mm_movemask_ps(_mm_and_ps(_mm_cmpnle_ps(b, l), _mm_cmpnge_ps(b, h))) << 4;
#elif defined(__aarch64__)
    static const uint32_t power[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    float32x4_t l = vdupq_n_f32(low), h = vdupq_n_f32(high), a = vld1q_f32(y), b = vld1q_f32(y + 4);
    uint32x4_t first = vbicq_u32(vld1q_u32(power), vorrq_u32(vcleq_f32(a, l), vcgeq_f32(a, h)));
    uint32x4_t second = vbicq_u32(vld1q_u32(power + 4), vorrq_u32(vcleq_f32(b, l), vcgeq_f32(b, h)));
    return vaddvq_u32(vorrq_u32(first, second));
#else
    unsigned byte = 0;
    for (int i = 0; i < 8; i++)
        byte |= (unsigned)!((y[i] <= low) | (y[i] >= high)) << i;
    return byte;
#endif
}

static void pack(const float *y, int64_t n, float low, float high, uint8_t *bits)
{
    int64_t i = 0;
    low = bound(low), high = bound(high);
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16) {
        __m512 v = _mm512_loadu_ps(y + i);
        __mmask16 above = _mm512_cmp_ps_mask(v, _mm512_set1_ps(low), _CMP_NLE_UQ);
        uint16_t both = _mm512_mask_cmp_ps_mask(above, v, _mm512_set1_ps(high), _CMP_NGE_UQ);
        __builtin_memcpy(bits + i / 8, &both, 2);
    }
#endif
    for (; i + 8 <= n; i += 8)
        bits[i / 8] = (uint8_t)inside(y + i, low, high);
    if (i < n) {
        unsigned byte = 0;
        for (int64_t k = i; k < n; k++)
            byte |= (unsigned)!((y[k] <= low) | (y[k] >= high)) << (k - i);
        bits[i / 8] = (uint8_t)byte;
    }
}

static void apply_mask(float *g, int64_t n, const uint8_t *bits)
{
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16) {
        uint16_t both;
        __builtin_memcpy(&both, bits + i / 8, 2);
        _mm512_storeu_ps(g + i, _mm512_maskz_loadu_ps(both, g + i));
    }
#endif
    typedef int32_t eight __attribute__((vector_size(32), aligned(4), may_alias));
    const eight power = {1, 2, 4, 8, 16, 32, 64, 128};
    for (; i + 8 <= n; i += 8) {
        eight *v = (eight *)(g + i);
        *v &= ((power & bits[i / 8]) != 0);
    }
    for (; i < n; i++)
        if (!(bits[i / 8] >> (i % 8) & 1))
            g[i] = 0;
}

/* ---- clamp and mask of whole maps ------------------------------------------------------------- */

INLINE float clamped(float x, float low, float high)
{
    x = x < low ? low : x; /* written so that NaN, of which no comparison is true, remains */
    return x > high ? high : x;
}

typedef struct {
    float *x;
    const float *bias; /* or NULL */
    uint8_t *bits;
    int64_t rows, channels, piece; /* rows of one unit */
    float low, high;
} clamp_job;

static void shift_clamp(float *restrict x, const float *restrict bias, int64_t n, float low, float high)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = clamped(x[i] + bias[i], low, high);
}

static void clamp_units(const void *given, int64_t first, int64_t last)
{
    const clamp_job *job = given;
    const int64_t channels = job->channels;
    const float low = job->low, high = job->high, *bias = job->bias;
    for (int64_t unit = first; unit < last; unit++) {
        int64_t row = unit * job->piece, end = smaller(row + job->piece, job->rows);
        float *start = job->x + row * channels, *x = start;
        int64_t n = (end - row) * channels;
        if (bias)
            for (; row < end; row++, x += channels)
                shift_clamp(x, bias, channels, low, high);
        else
            for (int64_t i = 0; i < n; i++)
                x[i] = clamped(x[i], low, high);
        if (job->bits)
            pack(start, n, low, high, job->bits + (start - job->x) / 8);
    }
}

EXPORT void edgewise_clamp(float *x, const float *bias, uint8_t *bits, int64_t rows, int64_t channels,
                           float low, float high, int64_t threads)
{
    if (!bias) { /* then where a row ends does not matter */
        int64_t n = rows * channels;
        channels = n % 8 == 0 ? 8 : 1;
        rows = n / channels;
    }
    int64_t whole = rows_to_a_byte(channels);
    int64_t piece = whole * larger(1, PIECE / (whole * channels));
    clamp_job job = {x, bias, bits, rows, channels, piece, low, high};
    divide(clamp_units, &job, (rows + piece - 1) / piece, rows * channels, threads);
}

typedef struct {
    float *g;
    const uint8_t *bits;
    int64_t n;
} mask_job;

static void mask_units(const void *given, int64_t first, int64_t last)
{
    const mask_job *job = given;
    int64_t begin = first * PIECE, end = smaller(last * PIECE, job->n);
    apply_mask(job->g + begin, end - begin, job->bits + begin / 8);
}

EXPORT void edgewise_mask(float *g, const uint8_t *bits, int64_t n, int64_t threads)
{
    mask_job job = {g, bits, n};
    divide(mask_units, &job, (n + PIECE - 1) / PIECE, n, threads);
}

#include "norm.h"

#include "standardise.h"

#include "adam.h"

/* ---- depthwise convolution --------------------------------------------------------------------- */

/* One line of results, each the sum of taps_y * taps_x products:
 *   out[t * out_step] = clamp(bias + sum of in[y + i, x + t * step + j] * weight[i, j])
 * where in is one image, zero outside.  Forward, step is the stride and out_step one pixel.  Backward
 * it is the other way round: every stride-th pixel of a line meets the same taps, which lie a stride
 * apart in the weight and are met from the last to the first. */
typedef struct {
    int64_t height, width, channels; /* of in */
    int64_t taps_y, taps_x;
    int64_t weight_y, weight_x; /* floats from one tap to the next */
    int64_t step, out_step;     /* pixels, floats */
    const float *bias;          /* or NULL */
    float low, high;
} line;

/* The gradient of the weight: out[i, j] = sum over pixels of g[y, x] * in[y * stride + i - top, ...]. */
typedef struct {
    const float *g, *x;
    float *out;
    int64_t images, channels;
    int64_t height, width;   /* of the convolution's input */
    int64_t height2, width2; /* and output */
    int64_t kernel, stride, top, left;
} gradient_job;

/* The first line of g whose i-th row of taps lies inside, and the line after the last. */
static int64_t first_line(const gradient_job *job, int64_t i)
{
    return i < job->top ? (job->top - i + job->stride - 1) / job->stride : 0;
}

static int64_t end_line(const gradient_job *job, int64_t i)
{
    const int64_t room = job->height - 1 + job->top - i; /* how far the first line's row may move */
    return room < 0 ? 0 : smaller(job->height2, room / job->stride + 1);
}

#if defined(__AVX512VL__) || defined(__aarch64__)
#define FIVE 5 /* rows of taps whose sums are taken at once where K is 5: 25 of 32 registers */
#else
#define FIVE 1
#endif

/* The channels are taken L at a time, the last L overlapping those before where L does not divide
 * them; so a length is needed that is not longer than all channels. */
#if defined(__AVX512F__)
#define LONGEST 16
#elif defined(__AVX__)
#define LONGEST 8
#else
#define LONGEST 4
#endif
#if defined(__AVX512F__)
#define L 16
#include "depthwise.h"
#endif
#if defined(__AVX__)
#define L 8
#include "depthwise.h"
#endif
#define L 4
#include "depthwise.h"
#define L 1
#include "depthwise.h"

static void one_line(const line *p, const float *in, const float *weight, float *out, int64_t count,
                     int64_t y, int64_t x)
{
#if defined(__AVX512F__)
    if (p->channels >= 16)
        line_16(p, in, weight, out, count, y, x);
    else
#endif
#if defined(__AVX__)
    if (p->channels >= 8)
        line_8(p, in, weight, out, count, y, x);
    else
#endif
    if (p->channels >= 4)
        line_4(p, in, weight, out, count, y, x);
    else
        line_1(p, in, weight, out, count, y, x);
}

typedef struct {
    const float *in, *weight, *bias;
    float *out;
    uint8_t *bits;             /* forward */
    const uint8_t *keep;       /* backward */
    int64_t channels;
    int64_t height, width;     /* of the convolution's input */
    int64_t height2, width2;   /* and output */
    int64_t kernel, stride, top, left;
    int64_t rows, piece;       /* of what is written; rows of one unit */
    float low, high;
} depthwise_job;

static void forward_row(const depthwise_job *job, int64_t row, float *out)
{
    const int64_t c = job->channels, image = row / job->height2, y = row % job->height2;
    const line p = {job->height, job->width, c, job->kernel, job->kernel, job->kernel * c, c,
                    job->stride, c, job->bias, job->low, job->high};
    one_line(&p, job->in + image * job->height * job->width * c, job->weight, out, job->width2,
             y * job->stride - job->top, -job->left);
}

/* The taps that an input at this position, padding included, meets: how many, and the last of them. */
static int64_t taps_met(int64_t position, int64_t kernel, int64_t stride, int64_t *last)
{
    int64_t first = position % stride;
    int64_t count = first < kernel ? (kernel - 1 - first) / stride + 1 : 0;
    *last = first + (count - 1) * stride;
    return count;
}

static void backward_row(const depthwise_job *job, int64_t row, float *out)
{
    const int64_t c = job->channels, s = job->stride, k = job->kernel;
    const int64_t image = row / job->height, y = row % job->height + job->top;
    const float *in = job->in + image * job->height2 * job->width2 * c;
    int64_t last_y, last_x, taps_y = taps_met(y, k, s, &last_y);
    for (int64_t phase = 0; phase < smaller(s, job->width); phase++) {
        const int64_t x = phase + job->left, taps_x = taps_met(x, k, s, &last_x);
        const line p = {job->height2, job->width2, c, taps_y, taps_x, -s * k * c, -s * c,
                        1, s * c, 0, -INFINITY, INFINITY};
        const float *weight = taps_x && taps_y ? job->weight + (last_y * k + last_x) * c : job->weight;
        /* last_y is congruent to y, so the division leaves no rest, whatever the sign */
        one_line(&p, in, weight, out + phase * c, (job->width - phase + s - 1) / s,
                 taps_y ? (y - last_y) / s : 0, taps_x ? (x - last_x) / s : 0);
    }
}

static void forward_units(const void *given, int64_t first, int64_t last)
{
    const depthwise_job *job = given;
    const int64_t pixels = job->width2 * job->channels;
    for (int64_t unit = first; unit < last; unit++) {
        int64_t begin = unit * job->piece, end = smaller(begin + job->piece, job->rows);
        for (int64_t row = begin; row < end; row++)
            forward_row(job, row, job->out + row * pixels);
        if (job->bits)
            pack(job->out + begin * pixels, (end - begin) * pixels, job->low, job->high,
                 job->bits + begin * pixels / 8);
    }
}

static void backward_units(const void *given, int64_t first, int64_t last)
{
    const depthwise_job *job = given;
    const int64_t pixels = job->width * job->channels;
    for (int64_t unit = first; unit < last; unit++) {
        int64_t begin = unit * job->piece, end = smaller(begin + job->piece, job->rows);
        for (int64_t row = begin; row < end; row++)
            backward_row(job, row, job->out + row * pixels);
        if (job->keep)
            apply_mask(job->out + begin * pixels, (end - begin) * pixels, job->keep + begin * pixels / 8);
    }
}

EXPORT void edgewise_depthwise(const float *x, const float *weight, const float *bias, float *out,
                               uint8_t *bits, int64_t images, int64_t channels, int64_t height,
                               int64_t width, int64_t height2, int64_t width2, int64_t kernel,
                               int64_t stride, int64_t top, int64_t left, float low, float high,
                               int64_t threads)
{
    const int64_t rows = images * height2, piece = rows_to_a_byte(width2 * channels);
    depthwise_job job = {x, weight, bias, out, bits, 0, channels, height, width, height2, width2,
                         kernel, stride, top, left, rows, piece, low, high};
    divide(forward_units, &job, (rows + piece - 1) / piece, rows * width2 * channels, threads);
}

EXPORT void edgewise_depthwise_grad_input(const float *g, const float *weight, float *out,
                                          const uint8_t *bits, int64_t images, int64_t channels,
                                          int64_t height, int64_t width, int64_t height2, int64_t width2,
                                          int64_t kernel, int64_t stride, int64_t top, int64_t left,
                                          int64_t threads)
{
    const int64_t rows = images * height, piece = rows_to_a_byte(width * channels);
    depthwise_job job = {g, weight, 0, out, 0, bits, channels, height, width, height2, width2,
                         kernel, stride, top, left, rows, piece, -INFINITY, INFINITY};
    divide(backward_units, &job, (rows + piece - 1) / piece, rows * width * channels, threads);
}

#define BLOCK 16 /* channels of one unit, the last has those that remain: a line of the cache for one thread */

static void one_gradient(const gradient_job *job, int64_t image, int64_t first, int64_t last)
{
#define BLOCKS(L) \
    for (int64_t c = first; c < last; c += L) \
        gradient_##L(job, image, smaller(c, last - L), larger(0, c + L - last));
#if defined(__AVX512F__)
    if (job->channels >= 16)
        BLOCKS(16)
    else
#endif
#if defined(__AVX__)
    if (job->channels >= 8)
        BLOCKS(8)
    else
#endif
    if (job->channels >= 4)
        BLOCKS(4)
    else
        BLOCKS(1)
#undef BLOCKS
}

/* Each thread has channels of its own, and sums over all pixels in an order that does not depend on the
 * threads. */
static void gradient_units(const void *given, int64_t first, int64_t last)
{
    const gradient_job *job = given;
    const int64_t begin = first * BLOCK, rest = job->channels - last * BLOCK;
    const int64_t end = rest < BLOCK ? job->channels : last * BLOCK;
    for (int64_t tap = 0; tap < job->kernel * job->kernel; tap++)
        for (int64_t c = begin; c < end; c++)
            job->out[tap * job->channels + c] = 0;
    for (int64_t image = 0; image < job->images; image++)
        one_gradient(job, image, begin, end);
}

EXPORT void edgewise_depthwise_grad_weight(const float *g, const float *x, float *out, int64_t images,
                                           int64_t channels, int64_t height, int64_t width, int64_t height2,
                                           int64_t width2, int64_t kernel, int64_t stride, int64_t top,
                                           int64_t left, int64_t threads)
{
    gradient_job job = {g, x, out, images, channels, height, width, height2, width2,
                        kernel, stride, top, left};
    divide(gradient_units, &job, larger(1, channels / BLOCK), images * height2 * width2 * channels, threads);
}
