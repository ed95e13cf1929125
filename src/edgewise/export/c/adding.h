/* Adding and subtracting the numbers that lie at listed distances from many pixels: the inner loop of ternary filters.
 *
 * Plain C first: arrays that fill one vector of the machine, which gcc and clang keep in registers, for SSE, AVX2
 * and NEON alike.  gcc does not use the full width of AVX-512 for it, so that is spelled out below; the sums
 * are the same.
 */
#ifndef EDGEWISE_ADDING_H
#define EDGEWISE_ADDING_H

#include <stdint.h>

#include "edgewise.h"

typedef ew_sample sample;

/* ``lane`` holds MOST samples added up; a sum of two channels, 0 to 254 in 8 bits, is held less MIDDLE.  Pixels are
 * taken in units of UNIT: 1, 4, 5, 8 or 9 of them. */
#if defined(EW_FLOAT)
typedef float lane, total;
#define MIDDLE 0
#define MOST 65535
#elif EW_BITS == 8
typedef int16_t lane;
typedef int32_t total;
#define MIDDLE 128
#define MOST 255
#else
typedef int32_t lane, total;
#define MIDDLE 32768
#define MOST 65535
#endif
#define MOST_UNITS 9
#define DENSE 64 /* pixels that a dense filter takes at a time */

#ifdef __GNUC__
#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline)) /* elsewhere its arrays would leave their registers */
#else
#define INLINE static inline
#define APART static
#endif

#if defined(__AVX512BW__)

#include <immintrin.h>

#define UNIT 16
#if defined(EW_FLOAT)
typedef __m512 vector;
#define ZERO _mm512_setzero_ps()
#define LOAD(p) _mm512_loadu_ps(p)
#define ADD _mm512_add_ps
#define SUBTRACT _mm512_sub_ps
#define STORE(p, v) _mm512_storeu_ps(p, v)
#elif EW_BITS == 8
typedef __m512i vector; /* two units */
#define ZERO _mm512_setzero_si512()
#define LOAD(p) _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(p)))
#define HALF(p) _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(p)))
#define ADD _mm512_add_epi16
#define SUBTRACT _mm512_sub_epi16
#define STORE(p, v) _mm512_storeu_si512(p, v)
#else
typedef __m512i vector;
#define ZERO _mm512_setzero_si512()
#define LOAD(p) _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(p)))
#define ADD _mm512_add_epi32
#define SUBTRACT _mm512_sub_epi32
#define STORE(p, v) _mm512_storeu_si512(p, v)
#endif
#ifndef HALF /* every vector is one unit */
typedef int half;
#define LANES UNIT
#define HALF(p) 0
#define NO_HALF 0
#define ADD_HALF(a, b) (a)
#define SUBTRACT_HALF(a, b) (a)
#define STORE_HALF(p, v) (void)(v)
#else
typedef __m256i half;
#define LANES (2 * UNIT)
#define NO_HALF _mm256_setzero_si256()
#define ADD_HALF _mm256_add_epi16
#define SUBTRACT_HALF _mm256_sub_epi16
#define STORE_HALF(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#endif

INLINE void add_up(int units, const sample *x, const int32_t *distances, const uint16_t *more, int32_t pluses,
                   const uint16_t *less, int32_t minuses, const total *before, total *sums)
{
    const int whole = units * UNIT / LANES, rest = whole * LANES, odd = rest < units * UNIT;
    vector v[MOST_UNITS];
    half last = NO_HALF;
    lane sum[MOST_UNITS * UNIT];
#pragma GCC unroll 9
    for (int k = 0; k < whole; k++)
        v[k] = ZERO;
    for (int32_t t = 0; t < pluses; t++) {
        const sample *p = x + distances[more[t]];
#pragma GCC unroll 9
        for (int k = 0; k < whole; k++)
            v[k] = ADD(v[k], LOAD(p + k * LANES));
        if (odd)
            last = ADD_HALF(last, HALF(p + rest));
    }
    for (int32_t t = 0; t < minuses; t++) {
        const sample *p = x + distances[less[t]];
#pragma GCC unroll 9
        for (int k = 0; k < whole; k++)
            v[k] = SUBTRACT(v[k], LOAD(p + k * LANES));
        if (odd)
            last = SUBTRACT_HALF(last, HALF(p + rest));
    }
#pragma GCC unroll 9
    for (int k = 0; k < whole; k++)
        STORE(sum + k * LANES, v[k]);
    if (odd)
        STORE_HALF(sum + rest, last);
    for (int i = 0; i < units * UNIT; i++)
        sums[i] = before[i] + sum[i];
}

#else

#if !defined(EW_FLOAT) && EW_BITS == 8
#define UNIT 16
#else
#define UNIT 8
#endif
#define EACH for (int i = 0; i < UNIT; i++)
/* ``more`` vectors to ``from``: v = v + p */
#define ADD_ONE(v, k) EACH v[i] = (lane)(v[i] + p[(k) * UNIT + i])
#define SUBTRACT_ONE(v, k) EACH v[i] = (lane)(v[i] - p[(k) * UNIT + i])
#define SUM_ONE(v, k) EACH sums[(k) * UNIT + i] = before[(k) * UNIT + i] + v[i]
#define ALL(DO)                                         \
    do {                                                \
        DO(a, 0);                                       \
        if (units > 1) {                                \
            DO(b, 1);                                   \
            DO(c, 2);                                   \
            DO(d, 3);                                   \
        }                                               \
        if (units > 4)                                  \
            DO(e, 4);                                   \
        if (units > 5) {                                \
            DO(f, 5);                                   \
            DO(g, 6);                                   \
            DO(h, 7);                                   \
        }                                               \
        if (units > 8)                                  \
            DO(j, 8);                                   \
    } while (0)

INLINE void add_up(int units, const sample *x, const int32_t *distances, const uint16_t *more, int32_t pluses,
                   const uint16_t *less, int32_t minuses, const total *before, total *sums)
{
    lane a[UNIT] = {0}, b[UNIT] = {0}, c[UNIT] = {0}, d[UNIT] = {0}, e[UNIT] = {0};
    lane f[UNIT] = {0}, g[UNIT] = {0}, h[UNIT] = {0}, j[UNIT] = {0};
    for (int32_t t = 0; t < pluses; t++) {
        const sample *p = x + distances[more[t]];
        ALL(ADD_ONE);
    }
    for (int32_t t = 0; t < minuses; t++) {
        const sample *p = x + distances[less[t]];
        ALL(SUBTRACT_ONE);
    }
    ALL(SUM_ONE);
}

#endif

/* sums = before + what lies at the distances ``more`` lists from the pixels x, x + 1, …, less what lies at ``less`` */
typedef void adding(const sample *x, const int32_t *distances, const uint16_t *more, int32_t pluses,
                    const uint16_t *less, int32_t minuses, const total *before, total *sums);

#define ADDING(n)                                                                                            \
    APART void add_##n(const sample *x, const int32_t *distances, const uint16_t *more, int32_t pluses,      \
                       const uint16_t *less, int32_t minuses, const total *before, total *sums)              \
    {                                                                                                        \
        add_up(n, x, distances, more, pluses, less, minuses, before, sums);                                  \
    }
ADDING(1)
ADDING(4)
ADDING(5)
ADDING(8)
ADDING(9)

#endif
