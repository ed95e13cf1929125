/* A network with ternary weights, exported by Edgewise: bytes of a photo in, one number for each class out.
 *
 * It needs no memory but its static arrays, and of the C library only string.h.  One call at a time.
 * With -DEW_FLOAT everything is computed in float; otherwise in integers, the same on every machine on
 * which >> of a negative number keeps the sign.
 */
#ifndef EDGEWISE_H
#define EDGEWISE_H

#include <stdint.h>

#include "network.h" /* EW_BITS, EW_SIDE, EW_CLASSES, EW_LOGIT, and the sizes of the static arrays */

/* ---- what a program calls ----------------------------------------------------------------------- */

#ifdef EW_FLOAT
typedef float edgewise_number; /* a logit */
#else
typedef int32_t edgewise_number; /* EW_LOGIT times this number is the logit */
#endif

/* ``photo``: EW_SIDE rows of EW_SIDE pixels of red, green and blue, as the network was trained:
 * the shorter side scaled to EW_RESIZE, the middle cut out. */
void edgewise_run(const uint8_t photo[EW_SIDE * EW_SIDE * 3], edgewise_number logits[EW_CLASSES]);

/* The number of the class whose logit is largest. */
int edgewise_largest(const edgewise_number logits[EW_CLASSES]);

extern const char *const edgewise_classes[EW_CLASSES];

/* Bytes of the static arrays that are not constant. */
extern const uint32_t edgewise_memory;

/* ---- what network.c says about the network ------------------------------------------------------- */

#if defined(EW_FLOAT)
typedef float ew_sample, ew_weight, ew_wide;
#elif EW_BITS == 8
typedef int8_t ew_sample, ew_weight;
typedef int16_t ew_factor;
typedef int32_t ew_wide;
#else
typedef int16_t ew_sample, ew_weight;
typedef int32_t ew_factor;
typedef int64_t ew_wide;
#endif

/* From a sum to a result: floats scale * sum + offset; integers, where ``before`` and ``shift`` round,
 * ((sum >> before) * multiplier + offset) >> shift.  The offset holds the rounding of ``shift``. */
typedef struct {
#ifdef EW_FLOAT
    float scale, offset;
#else
    ew_wide offset;
    ew_factor multiplier;
    uint8_t shift, before;
#endif
} ew_rule;

/* A value in the arena: rows of ``width`` and ``margin`` zeros, which end one row and begin the next;
 * ``margin`` rows of zeros above and below. */
typedef struct {
    uint32_t at;
    uint16_t channels, height, width, margin;
} ew_map;

enum ew_kind { EW_TERNARY, EW_DENSE, EW_ADD, EW_MULTIPLY, EW_LARGEST, EW_MEAN, EW_SUBSAMPLE, EW_BEND };
enum ew_curve { EW_CLAMP, EW_HSWISH, EW_HSIGMOID };

typedef struct {
    uint8_t kind, curve, last; /* the last one writes the logits */
    uint8_t kernel_y, kernel_x, stride_y, stride_x, top, left;
    uint8_t pairs;   /* sums and differences of two channels are made first */
    uint8_t gathers; /* its source is copied first: one plane for each phase of the stride */
    uint16_t groups, slab;
    uint16_t before;         /* channels of zeros that Subsample puts first */
    uint16_t rows;           /* of a gathered plane */
    uint16_t above, ahead;   /* of them before the first pixel; numbers before it in a row */
    uint32_t gathered, sums; /* where they lie in the arena */
    ew_map a, b, out;
    const uint8_t *stored, *codes; /* a bit for each group; of those that are stored, four weights a byte */
    const ew_weight *weights;
    const ew_rule *rules;
    ew_wide low, high;      /* before the table */
    const ew_sample *table; /* the curve; 257 numbers over all the range of a sample, or none */
} ew_step;

extern const ew_step ew_steps[];
extern const ew_sample ew_pixels[3][256];

#endif
