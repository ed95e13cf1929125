/* The kernels.  network.c says which of them run, on what.
 *
 * A convolution looks at its source as one line of numbers: rows run on into each other, with zeros between
 * them, so that a tap of the kernel is one constant distance from the pixel in hand, and many pixels
 * can be taken at once whatever the width of the map.  A ternary filter becomes two lists of such distances, to
 * add and to subtract.  Two channels under the same tap are one entry of the lists: the channels themselves, and
 * their sum and difference, made once for all filters.  What is computed between two rows is thrown away.
 */
#include "adding.h"
#include "edgewise.h"

#include <string.h>

/* What a byte of four weights (or two pairs of them) adds and subtracts, counted from its first tap. */
typedef struct {
    uint16_t plus[4], minus[4];
    uint8_t pluses, minuses;
} meaning;

static sample arena[EW_ARENA];
static int32_t distances[EW_DISTANCES]; /* of the taps of a filter from the pixel in hand */
static uint16_t plus[EW_TAPS + 4], minus[EW_TAPS + 4];
static meaning meanings[256];
static uint8_t meant; /* 1: single weights, 2: pairs */

const uint32_t edgewise_memory =
    sizeof arena + sizeof distances + sizeof plus + sizeof minus + sizeof meanings + sizeof meant;

/* ---- from sums to results ----------------------------------------------------------------------- */

INLINE ew_wide result(ew_wide sum, const ew_rule *rule, ew_wide low, ew_wide high)
{
#ifdef EW_FLOAT
    ew_wide y = sum * rule->scale + rule->offset;
#else
    ew_wide half = (ew_wide)1 << rule->before >> 1;
    ew_wide y = (((sum + half) >> rule->before) * rule->multiplier + rule->offset) >> rule->shift;
#endif
    y = y < low ? low : y;
    return y > high ? high : y;
}

/* The curves that no clamp can give. */
static void bend(const ew_step *s, sample *y, int32_t n)
{
    if (s->curve == EW_CLAMP)
        return;
    for (int32_t i = 0; i < n; i++) {
#if defined(EW_FLOAT)
        float gate = y[i] < -3 ? 0 : y[i] > 3 ? 1 : (y[i] + 3) / 6;
        y[i] = s->curve == EW_HSWISH ? y[i] * gate : gate;
#elif EW_BITS == 8
        y[i] = s->table[y[i] + 128];
#else
        int32_t place = y[i] + 32768, part = place & 255;
        const sample *at = s->table + (place >> 8);
        y[i] = (sample)((at[0] * (256 - part) + at[1] * part + 128) >> 8);
#endif
    }
}

static int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

/* ---- maps --------------------------------------------------------------------------------------- */

static int32_t row_of(const ew_map *m) { return m->width + m->margin; }
static int32_t plane_of(const ew_map *m) { return (m->height + 2 * m->margin) * row_of(m) + m->margin; }
static int32_t size_of(const ew_map *m) { return m->channels * plane_of(m); }

/* A row of a channel. */
static sample *row_at(const ew_map *m, int32_t channel, int32_t y)
{
    return arena + m->at + channel * plane_of(m) + (y + m->margin) * row_of(m) + m->margin;
}

static void clear(sample *from, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        from[i] = 0;
}

/* What a convolution wrote between the rows, and between the last row of a channel and the first of the next. */
static void clear_margins(const ew_map *m)
{
    const int32_t row = row_of(m), head = m->margin * row + m->margin;
    sample *at = arena + m->at;
    if (!m->margin)
        return;
    clear(at, head);
    at += head + m->width;
    for (int32_t c = 0; c < m->channels; c++, at += 2 * head + m->width) {
        for (int32_t y = 1; y < m->height; y++, at += row)
            if (m->margin == 1)
                at[0] = 0;
            else
                clear(at, m->margin);
        clear(at, c + 1 < m->channels ? 2 * head : head);
    }
}

static void clear_map(const ew_map *m) { memset(arena + m->at, 0, (uint32_t)size_of(m) * sizeof(sample)); }

/* ---- convolutions ------------------------------------------------------------------------------- */

/* Planes whose pixel (0, 0) lies under the first pixel of the result. */
typedef struct {
    sample *start; /* of the first plane */
    int32_t first; /* from there to the pixel */
    int32_t plane;
} source;

/* Every so manieth number. */
static void take(sample *restrict to, const sample *restrict from, int32_t n, int32_t stride)
{
    if (stride == 2)
        for (int32_t i = 0; i < n; i++)
            to[i] = from[2 * i];
    else
        for (int32_t i = 0; i < n; i++)
            to[i] = from[i * stride];
}

/* Each phase of the stride becomes a plane with rows as long as those of the result. */
static source gathered(const ew_step *s)
{
    const int32_t row = row_of(&s->out), rows = s->rows;
    source from = {arena + s->gathered, s->above * row + s->ahead, rows * row + s->ahead};
    sample *plane = from.start;
    memset(plane, 0, (uint32_t)(s->a.channels * s->stride_y * s->stride_x * from.plane) * sizeof(sample));
    for (int32_t c = 0; c < s->a.channels; c++)
        for (int32_t py = 0; py < s->stride_y; py++)
            for (int32_t px = 0; px < s->stride_x; px++, plane += from.plane)
                for (int32_t y = 0; y < rows - s->above && y * s->stride_y + py < s->a.height; y++) {
                    const sample *in = row_at(&s->a, c, y * s->stride_y + py) + px;
                    sample *to = plane + from.first + y * row;
                    const int32_t n = smaller(row - s->ahead, (s->a.width - px + s->stride_x - 1) / s->stride_x);
                    take(to, in, n, s->stride_x);
                }
    return from;
}

static source source_of(const ew_step *s)
{
    if (s->gathers)
        return gathered(s);
    source from = {arena + s->a.at, s->a.margin * row_of(&s->a) + s->a.margin, plane_of(&s->a)};
    return from;
}

/* Sum and difference of channels 2j and 2j + 1, for every phase. */
static void add_channels(const ew_step *s, const source *from)
{
    const int32_t size = s->stride_y * s->stride_x * from->plane;
    const sample *a = from->start;
    sample *sum = arena + s->sums;
    for (int32_t c = 0; c < s->a.channels; c += 2, a += 2 * size, sum += 2 * size)
        for (int32_t i = 0; i < size; i++) {
            sum[i] = (sample)(a[i] + a[size + i] - MIDDLE);
            sum[size + i] = (sample)(a[i] - a[size + i]);
        }
}

/* The distances of all taps: channel, row, column; or pair, row, column and which of the four. */
static void measure(const ew_step *s, const source *from)
{
    const int32_t phases = s->stride_y * s->stride_x, row = row_of(&s->out), size = phases * from->plane;
    const int32_t channels = s->a.channels / s->groups, sums = (int32_t)(arena + s->sums - from->start);
    const int32_t each = s->pairs ? 2 : 1, next = s->kernel_y * s->kernel_x * each * each;
    for (int32_t ky = 0; ky < s->kernel_y; ky++)
        for (int32_t kx = 0; kx < s->kernel_x; kx++) {
            /* the top is added in strides, so that nothing negative is divided */
            const int32_t y = ky - s->top + s->top * s->stride_y, x = kx - s->left + s->left * s->stride_x;
            const int32_t phase = y % s->stride_y * s->stride_x + x % s->stride_x;
            int32_t at = phase * from->plane + (y / s->stride_y - s->top) * row + x / s->stride_x - s->left;
            int32_t *to = distances + (ky * s->kernel_x + kx) * each * each;
            for (int32_t c = 0; c < channels; c += each, at += each * size, to += next) {
                to[0] = at;
                if (s->pairs) {
                    to[1] = at + size;
                    to[2] = at + sums;
                    to[3] = at + sums + size;
                }
            }
        }
}

/* Fill the table of meanings: single weights, code 1 to add and 2 to subtract; or pairs of them. */
static void learn(int pairs)
{
    static const uint8_t entry[16] = {0, 0, 0, 0, 1, 2, 3, 0, 1, 3, 2}; /* first, second, sum, difference */
    if (meant == 1 + pairs)
        return;
    meant = (uint8_t)(1 + pairs);
    memset(meanings, 0, sizeof meanings);
    for (int byte = 0; byte < 256; byte++) {
        meaning *m = meanings + byte;
        for (int k = 0; k < 4; k += 1 + pairs) {
            int code = byte >> 2 * k & (pairs ? 15 : 3);
            int sign = code & 3 ? code & 3 : code >> 2; /* of the first weight that is not 0 */
            uint16_t at = (uint16_t)(pairs ? 2 * k + entry[code] : k);
            if (sign == 1)
                m->plus[m->pluses++] = at;
            if (sign == 2)
                m->minus[m->minuses++] = at;
        }
    }
}

typedef struct {
    int32_t pluses, minuses;
    const uint8_t *codes; /* of the next filter */
} filter;

/* Four entries of a list, further by ``first`` each: four numbers of 16 bits side by side, which never carry. */
INLINE void four(uint16_t *to, const uint16_t *from, uint64_t first)
{
    uint64_t entries;
    memcpy(&entries, from, sizeof entries);
    entries += first;
    memcpy(to, &entries, sizeof entries);
}

/* The lists of one filter. */
static filter spelled(const ew_step *s, int32_t number, const uint8_t *codes)
{
    const int32_t slabs = s->a.channels / s->groups / s->slab, weights = s->slab * s->kernel_y * s->kernel_x;
    const int32_t bytes = (weights + 3) / 4, entries = weights * (1 + s->pairs);
    const uint64_t each = 0x0001000100010001, step = each * (s->pairs ? 8 : 4);
    uint16_t *more = plus, *less = minus;
    for (int32_t slab = 0; slab < slabs; slab++) {
        const int32_t group = number * slabs + slab;
        if (!(s->stored[group / 8] >> group % 8 & 1))
            continue;
        uint64_t first = each * (uint64_t)(slab * entries);
        for (const uint8_t *end = codes + bytes; codes < end; codes++, first += step) {
            const meaning *m = meanings + *codes;
            four(more, m->plus, first);
            four(less, m->minus, first);
            more += m->pluses;
            less += m->minuses;
        }
    }
    filter f = {(int32_t)(more - plus), (int32_t)(less - minus), codes};
    return f;
}

/* As many entries at a time as a lane can hold. */
static void ternary(const sample *x, const filter *f, int32_t units, total *sums)
{
    static const total nothing[MOST_UNITS * UNIT] = {0};
    adding *add = units == 1 ? add_1 : units == 4 ? add_4 : units == 5 ? add_5 : units == 8 ? add_8 : add_9;
    const total *before = nothing;
    int32_t p = 0, m = 0;
    do {
        int32_t pluses = smaller(f->pluses - p, MOST), minuses = smaller(f->minuses - m, MOST - pluses);
        add(x, distances, plus + p, pluses, minus + m, minuses, before, sums);
        p += pluses, m += minuses, before = sums;
    } while (p < f->pluses || m < f->minuses);
}

/* How many units to take of the pixels that are left: few blocks, and few numbers that are thrown away. */
static int32_t units_of(int32_t pixels)
{
    const int32_t units = (pixels + UNIT - 1) / UNIT;
    return units == 1 || units == 5 || units == 9 ? units : units < 5 ? 4 : 8;
}

/* Weights that are numbers, of DENSE pixels.  The sum of two products of samples fits a lane. */
APART void dense(const sample *x, const ew_weight *weights, int32_t taps, total *restrict sums)
{
    int32_t t = 0;
    for (int i = 0; i < DENSE; i++)
        sums[i] = 0;
    for (; t + 2 <= taps; t += 2) {
        const sample *p = x + distances[t], *q = x + distances[t + 1];
        const lane v = weights[t], w = weights[t + 1];
        lane both[DENSE];
        for (int i = 0; i < DENSE; i++)
            both[i] = (lane)(v * p[i] + w * q[i]);
        for (int i = 0; i < DENSE; i++)
            sums[i] += both[i];
    }
    for (; t < taps; t++)
        for (int i = 0; i < DENSE; i++)
            sums[i] += (total)weights[t] * x[distances[t] + i];
}

/* Of one pixel, whose channels lie side by side: the first of UNIT sums. */
static void product(const sample *x, const ew_weight *weights, int32_t taps, total *sums)
{
    int32_t t = 0;
    for (int i = 0; i < UNIT; i++)
        sums[i] = 0;
    for (; t + UNIT <= taps; t += UNIT)
        for (int i = 0; i < UNIT; i++)
            sums[i] += (total)weights[t + i] * x[t + i];
    for (int i = 1; i < UNIT; i++)
        sums[0] += sums[i];
    for (; t < taps; t++)
        sums[0] += (total)weights[t] * x[t];
}

/* n results, a multiple of UNIT. */
APART void finish(const total *restrict sums, const ew_step *s, const ew_rule *rule, int32_t n, sample *restrict to)
{
    const ew_rule r = *rule;
    const ew_wide low = s->low, high = s->high;
    for (; n > 0; n -= UNIT, sums += UNIT, to += UNIT)
        for (int i = 0; i < UNIT; i++)
            to[i] = (sample)result(sums[i], &r, low, high);
}

/* A block may end behind the last pixel: in what is cleared or computed afterwards, or in the slack of the map. */
static void convolve(const ew_step *s, edgewise_number *logits)
{
    const source from = source_of(s);
    const int32_t channels = s->a.channels / s->groups, taps = channels * s->kernel_y * s->kernel_x;
    const int32_t phases = s->stride_y * s->stride_x, filters = s->out.channels / s->groups;
    const int32_t length = (s->out.height - 1) * row_of(&s->out) + s->out.width;
    const int is_ternary = s->kind == EW_TERNARY, one = length == 1 && from.plane == 1 && phases == 1 && !is_ternary;
    filter f = {0, 0, s->codes};
    measure(s, &from);
    if (is_ternary)
        learn(s->pairs);
    if (s->pairs)
        add_channels(s, &from);
    for (int32_t number = 0; number < s->out.channels; number++) {
        const sample *x = from.start + number / filters * channels * phases * from.plane + from.first;
        const ew_weight *weights = is_ternary ? 0 : s->weights + number * taps;
        sample *to = row_at(&s->out, number, 0);
        if (is_ternary)
            f = spelled(s, number, f.codes);
        for (int32_t at = 0, n; at < length; at += n) {
            total sums[MOST_UNITS * UNIT];
            const int32_t units = is_ternary ? units_of(length - at) : one ? 1 : DENSE / UNIT;
            n = units * UNIT;
            if (is_ternary)
                ternary(x + at, &f, units, sums);
            else if (one)
                product(x, weights, taps, sums);
            else
                dense(x + at, weights, taps, sums);
            if (s->last) {
                logits[number] = (edgewise_number)result(sums[0], s->rules + number, s->low, s->high);
                continue;
            }
            finish(sums, s, s->rules + number, n, to + at);
            bend(s, to + at, n);
        }
    }
    if (!s->last)
        clear_margins(&s->out);
}

/* ---- everything else ---------------------------------------------------------------------------- */

static void add_all(const sample *restrict a, const sample *restrict b, const ew_step *s, int32_t n, sample *restrict y)
{
    const ew_rule first = s->rules[0], second = s->rules[1];
    const ew_wide low = s->low, high = s->high;
    for (int32_t i = 0; i < n; i++) {
#ifdef EW_FLOAT
        (void)second;
        y[i] = result(a[i] + b[i], &first, low, high);
#else
        ew_wide sum = (ew_wide)a[i] * first.multiplier + (ew_wide)b[i] * second.multiplier;
        sum = (sum + first.offset) >> first.shift;
        sum = sum < low ? low : sum;
        y[i] = (sample)(sum > high ? high : sum);
#endif
    }
}

static void add(const ew_step *s)
{
    sample *y = arena + s->out.at;
    add_all(arena + s->a.at, arena + s->b.at, s, size_of(&s->out), y);
    bend(s, y, size_of(&s->out));
    if (s->curve != EW_CLAMP)
        clear_margins(&s->out);
}

static void multiply(const ew_step *s)
{
    const int32_t n = plane_of(&s->out);
    for (int32_t c = 0; c < s->out.channels; c++) {
        const sample *a = arena + s->a.at + c * n;
        const ew_wide gate = *row_at(&s->b, c, 0);
        sample *y = arena + s->out.at + c * n;
        for (int32_t i = 0; i < n; i++)
            y[i] = (sample)result(a[i] * gate, s->rules, s->low, s->high);
    }
}

static void bend_all(const ew_step *s)
{
    const sample *a = arena + s->a.at;
    sample *y = arena + s->out.at;
    const int32_t n = size_of(&s->out);
    for (int32_t i = 0; i < n; i++)
        y[i] = (sample)result(a[i], s->rules, s->low, s->high);
    bend(s, y, n);
    clear_margins(&s->out);
}

/* The largest or the sum of a window, which begins at (y, x), without what lies outside. */
static total window(const ew_step *s, int32_t channel, int32_t y, int32_t x)
{
    const int32_t bottom = smaller(y + s->kernel_y, s->a.height), right = smaller(x + s->kernel_x, s->a.width);
    const int32_t top = y < 0 ? 0 : y, left = x < 0 ? 0 : x;
    total sum = 0, largest = row_at(&s->a, channel, top)[left];
    for (int32_t i = top; i < bottom; i++) {
        const sample *row = row_at(&s->a, channel, i);
        for (int32_t j = left; j < right; j++) {
            sum += row[j];
            largest = row[j] > largest ? row[j] : largest;
        }
    }
    if (s->kind == EW_LARGEST)
        return largest;
    const int32_t whole = s->kernel_y * s->kernel_x, count = (bottom - top) * (right - left);
    if (count == whole)
        return sum;
#ifdef EW_FLOAT
    return sum * whole / count;
#else
    /* what a whole window with this mean would add up to, rounded; the first sum is not negative */
    int64_t many = (int64_t)count << EW_BITS;
    return (total)((2 * (int64_t)sum * whole + count + 2 * many * whole) / (2 * count) - ((int64_t)whole << EW_BITS));
#endif
}

static void pool(const ew_step *s)
{
    clear_map(&s->out);
    for (int32_t c = 0; c < s->out.channels; c++)
        for (int32_t y = 0; y < s->out.height; y++)
            for (int32_t x = 0; x < s->out.width; x++) {
                total found = window(s, c, y * s->stride_y - s->top, x * s->stride_x - s->left);
                row_at(&s->out, c, y)[x] =
                    s->kind == EW_MEAN ? (sample)result(found, s->rules, s->low, s->high) : (sample)found;
            }
}

static void subsample(const ew_step *s)
{
    clear_map(&s->out);
    for (int32_t c = 0; c < s->a.channels; c++)
        for (int32_t y = 0; y < s->out.height; y++) {
            const sample *from = row_at(&s->a, c, y * s->stride_y);
            sample *to = row_at(&s->out, s->before + c, y);
            take(to, from, s->out.width, s->stride_x);
        }
}

/* ---- the whole ---------------------------------------------------------------------------------- */

static void read_photo(const uint8_t *photo, const ew_map *image)
{
    clear_map(image);
    for (int32_t c = 0; c < 3; c++)
        for (int32_t y = 0; y < EW_SIDE; y++) {
            sample *to = row_at(image, c, y);
            for (int32_t x = 0; x < EW_SIDE; x++)
                to[x] = ew_pixels[c][photo[(y * EW_SIDE + x) * 3 + c]];
        }
}

void edgewise_run(const uint8_t photo[EW_SIDE * EW_SIDE * 3], edgewise_number logits[EW_CLASSES])
{
    static const ew_map image = EW_IMAGE;
    read_photo(photo, &image);
    for (int32_t i = 0; i < EW_STEPS; i++) {
        const ew_step *s = ew_steps + i;
        switch (s->kind) {
        case EW_TERNARY:
        case EW_DENSE: convolve(s, logits); break;
        case EW_ADD: add(s); break;
        case EW_MULTIPLY: multiply(s); break;
        case EW_LARGEST:
        case EW_MEAN: pool(s); break;
        case EW_SUBSAMPLE: subsample(s); break;
        default: bend_all(s); break;
        }
    }
}

int edgewise_largest(const edgewise_number logits[EW_CLASSES])
{
    int best = 0;
    for (int i = 1; i < EW_CLASSES; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}
