/* One line of a depthwise convolution, and the gradient of its weight, L channels at a time; included by
 * kernels.c once for each L. */

#define JOIN2(a, b) a##_##b
#define JOIN(a, b) JOIN2(a, b)
#define NAME(a) JOIN(a, L)

typedef float NAME(vec) __attribute__((vector_size(4 * L)));
typedef float NAME(stored) __attribute__((vector_size(4 * L), aligned(4), may_alias));
typedef int32_t NAME(lanes) __attribute__((vector_size(4 * L)));

/* The maximum and minimum of the processor take their second operand where one is not a number. */
INLINE NAME(vec) NAME(clamp)(NAME(vec) v, float low, float high)
{
#if L == 16
    return (NAME(vec))_mm512_min_ps(_mm512_set1_ps(high), _mm512_max_ps(_mm512_set1_ps(low), (__m512)v));
#elif L == 8 && defined(__AVX__)
    return (NAME(vec))_mm256_min_ps(_mm256_set1_ps(high), _mm256_max_ps(_mm256_set1_ps(low), (__m256)v));
#else
    NAME(vec) l = (NAME(vec)){0} + low, h = (NAME(vec)){0} + high;
    NAME(lanes) out = v < l;
    v = (NAME(vec))(((NAME(lanes))l & out) | ((NAME(lanes))v & ~out));
    out = v > h;
    return (NAME(vec))(((NAME(lanes))h & out) | ((NAME(lanes))v & ~out));
#endif
}

INLINE NAME(vec) NAME(load)(const float *from) { return *(const NAME(stored) *)from; }

/* WIDE neighbouring results, all of whose taps lie inside; the sums stay in registers.
 * `in` is the first tap's pixel of the first result, `taps_y` the rows that lie inside. */
INLINE void NAME(tile)(const line *p, const float *in, const float *weight, float *out, int64_t taps_y,
                       const int WIDE, const int TAPS, const int STEP)
{
    const int64_t channels = p->channels, row = p->width * channels;
    for (int64_t c = 0; c < channels; c += L) {
        if (c + L > channels)
            c = channels - L;
        NAME(vec) sum[8], w[8];
#pragma GCC unroll 8
        for (int t = 0; t < WIDE; t++)
            sum[t] = p->bias ? NAME(load)(p->bias + c) : (NAME(vec)){0};
        for (int64_t i = 0; i < taps_y; i++) {
            const float *x = in + i * row + c, *weights = weight + i * p->weight_y + c;
#pragma GCC unroll 8
            for (int j = 0; j < TAPS; j++)
            {
                w[j] = NAME(load)(weights + j * p->weight_x);
                if (L > 1)
                    KEEP(w[j]);
            }
#pragma GCC unroll 32
            for (int column = 0; column < (WIDE - 1) * STEP + TAPS; column++) {
                NAME(vec) v = NAME(load)(x + column * channels);
                if (L > 1)
                    KEEP(v);
#pragma GCC unroll 8
                for (int t = 0; t < WIDE; t++)
                    if (column >= t * STEP && column - t * STEP < TAPS)
                        sum[t] += v * w[column - t * STEP];
            }
        }
#pragma GCC unroll 8
        for (int t = 0; t < WIDE; t++)
            *(NAME(stored) *)(out + t * p->out_step + c) = NAME(clamp)(sum[t], p->low, p->high);
    }
}

/* One result of any number of taps; several vectors of channels at once, because each sum waits for itself. */
INLINE void NAME(one)(const line *p, const float *in, const float *weight, float *out, int64_t taps_y,
                      int64_t taps_x, int64_t c, const int VECTORS)
{
    const int64_t row = p->width * p->channels;
    NAME(vec) sum[4];
#pragma GCC unroll 4
    for (int k = 0; k < VECTORS; k++)
        sum[k] = p->bias ? NAME(load)(p->bias + c + k * L) : (NAME(vec)){0};
    for (int64_t i = 0; i < taps_y; i++)
        for (int64_t j = 0; j < taps_x; j++) {
            const float *x = in + i * row + j * p->channels + c;
            const float *w = weight + i * p->weight_y + j * p->weight_x + c;
#pragma GCC unroll 4
            for (int k = 0; k < VECTORS; k++)
                sum[k] += NAME(load)(x + k * L) * NAME(load)(w + k * L);
        }
#pragma GCC unroll 4
    for (int k = 0; k < VECTORS; k++)
        *(NAME(stored) *)(out + c + k * L) = NAME(clamp)(sum[k], p->low, p->high);
}

/* One result near the edge, whose taps lie partly outside. */
static void NAME(edge)(const line *p, const float *in, const float *weight, float *out, int64_t taps_y,
                       int64_t x)
{
    const int64_t channels = p->channels, from = larger(0, -x), to = smaller(p->taps_x, p->width - x);
    int64_t c = 0, taps_x = larger(0, to - from);
    if (taps_x) {
        in += (x + from) * channels;
        weight += from * p->weight_x;
    }
    for (; c + 4 * L <= channels; c += 4 * L)
        NAME(one)(p, in, weight, out, taps_y, taps_x, c, 4);
    for (; c < channels; c += L)
        NAME(one)(p, in, weight, out, taps_y, taps_x, smaller(c, channels - L), 1);
}

INLINE int64_t NAME(tiles)(const line *p, const float *in, const float *weight, float *out, int64_t taps_y,
                           int64_t t, int64_t end, int64_t x, const int TAPS, const int STEP)
{
    for (; t + 8 <= end; t += 8)
        NAME(tile)(p, in + (x + t * STEP) * p->channels, weight, out + t * p->out_step, taps_y, 8, TAPS, STEP);
    for (; t + 4 <= end; t += 4)
        NAME(tile)(p, in + (x + t * STEP) * p->channels, weight, out + t * p->out_step, taps_y, 4, TAPS, STEP);
    for (; t + 2 <= end; t += 2)
        NAME(tile)(p, in + (x + t * STEP) * p->channels, weight, out + t * p->out_step, taps_y, 2, TAPS, STEP);
    return t;
}

/* `count` results; the first tap of the first lies at (y, x) of the image `in`, inside or not. */
static void NAME(line)(const line *p, const float *in, const float *weight, float *out, int64_t count,
                       int64_t y, int64_t x)
{
    const int64_t top = larger(0, -y), taps_y = larger(0, smaller(p->taps_y, p->height - y) - top);
    if (taps_y) {
        in += (y + top) * p->width * p->channels;
        weight += top * p->weight_y;
    }
    const int64_t room = p->width - p->taps_x - x; /* how far the first result's taps may move */
    int64_t t = 0, first = x < 0 ? (-x + p->step - 1) / p->step : 0;
    int64_t end = smaller(count, room < 0 ? 0 : room / p->step + 1);
    for (; t < smaller(first, count); t++)
        NAME(edge)(p, in, weight, out + t * p->out_step, taps_y, x + t * p->step);
    switch (p->step <= 2 ? 4 * p->taps_x + p->step : 0) { /* the usual ones, with everything unrolled */
#define UNROLLED(TAPS, STEP) \
    case 4 * TAPS + STEP: t = NAME(tiles)(p, in, weight, out, taps_y, t, end, x, TAPS, STEP); break;
    UNROLLED(3, 1)
    UNROLLED(3, 2)
    UNROLLED(5, 1)
    UNROLLED(5, 2)
    UNROLLED(7, 1)
    UNROLLED(7, 2)
    UNROLLED(1, 1) /* the rest: gradients at stride 2 */
    UNROLLED(2, 1)
    UNROLLED(4, 1)
#undef UNROLLED
    default: break;
    }
    for (; t < count; t++)
        NAME(edge)(p, in, weight, out + t * p->out_step, taps_y, x + t * p->step);
}

/* ---- the gradient of the weight */

/* What WIDE neighbouring pixels of g add to the sums of ROWS * TAPS taps.
 * `x` is the line of the first row of taps; the first tap lies in its column `at`, with EDGE it and the
 * others may lie outside. */
INLINE void NAME(meet)(const gradient_job *job, const float *g, const float *x, int64_t at, NAME(vec) *sum,
                       const int ROWS, const int TAPS, const int STEP, const int WIDE, const int EDGE)
{
    const int64_t channels = job->channels, row = job->width * channels;
    NAME(vec) from[4];
#pragma GCC unroll 4
    for (int t = 0; t < WIDE; t++) {
        from[t] = NAME(load)(g + t * channels);
        if (L > 1)
            KEEP(from[t]);
    }
#pragma GCC unroll 16
    for (int column = 0; column < (WIDE - 1) * STEP + TAPS; column++) {
        if (EDGE && (at + column < 0 || at + column >= job->width))
            continue;
        const float *pixel = x + (at + column) * channels;
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++) {
            NAME(vec) v = NAME(load)(pixel + i * row);
            if (L > 1 && WIDE > 1)
                KEEP(v);
#pragma GCC unroll 4
            for (int t = 0; t < WIDE; t++)
                if (column >= t * STEP && column - t * STEP < TAPS)
                    sum[i * TAPS + column - t * STEP] += from[t] * v;
        }
    }
}

/* What so many lines of g add to ROWS rows of taps, all of which lie inside; the sums stay in registers.
 * `x` is the line of the first row of taps for the first line of g; the first tap of the first pixel
 * lies `left` of it. */
INLINE void NAME(gather)(const gradient_job *job, const float *g, const float *x, float *out, int64_t lines,
                         int64_t left, NAME(lanes) own, const int ROWS, const int TAPS, const int STEP)
{
    const int64_t channels = job->channels, width = job->width, count = job->width2;
    const int64_t step = STEP ? STEP : job->stride;
    const int64_t room = width - TAPS + left; /* how far the first result's taps may move */
    const int64_t first = left > 0 ? smaller(count, (left + step - 1) / step) : 0;
    const int64_t end = room < 0 ? 0 : smaller(count, room / step + 1);
    NAME(vec) sum[ROWS * TAPS];
#pragma GCC unroll 32
    for (int k = 0; k < ROWS * TAPS; k++)
        sum[k] = (NAME(vec)){0};
    for (; lines > 0; lines--, g += count * channels, x += job->stride * width * channels) {
        int64_t t = 0;
        for (; t < first; t++)
            NAME(meet)(job, g + t * channels, x, t * step - left, sum, ROWS, TAPS, STEP, 1, 1);
        if (STEP)
            for (; t + 4 <= end; t += 4)
                NAME(meet)(job, g + t * channels, x, t * step - left, sum, ROWS, TAPS, STEP, 4, 0);
        for (; t < end; t++)
            NAME(meet)(job, g + t * channels, x, t * step - left, sum, ROWS, TAPS, STEP, 1, 0);
        for (; t < count; t++)
            NAME(meet)(job, g + t * channels, x, t * step - left, sum, ROWS, TAPS, STEP, 1, 1);
    }
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 8
        for (int j = 0; j < TAPS; j++)
            *(NAME(stored) *)(out + (i * job->kernel + j) * channels) +=
                (NAME(vec))((NAME(lanes))sum[i * TAPS + j] & own);
}

/* One image: the lines of g together for which all rows of taps lie inside (none if ROWS is 1), the
 * others one row of taps after the other. */
INLINE void NAME(gathers)(const gradient_job *job, const float *g, const float *x, float *out,
                          NAME(lanes) own, const int ROWS, const int TAPS, const int STEP)
{
    const int64_t channels = job->channels, row = job->width * channels, row2 = job->width2 * channels;
    const int64_t begin = ROWS > 1 ? smaller(job->height2, first_line(job, 0)) : job->height2;
    const int64_t end = ROWS > 1 ? larger(begin, end_line(job, ROWS - 1)) : job->height2;
    if (begin < end)
        NAME(gather)(job, g + begin * row2, x + (begin * job->stride - job->top) * row, out, end - begin,
                     job->left, own, ROWS, TAPS, STEP);
    for (int64_t i = 0; i < job->kernel; i++)
        for (int after = 0; after < 2; after++) {
            const int64_t from = larger(after ? end : 0, first_line(job, i));
            const int64_t to = smaller(after ? job->height2 : begin, end_line(job, i));
            if (from < to)
                for (int64_t j = 0; j < job->kernel; j += TAPS)
                    NAME(gather)(job, g + from * row2, x + (from * job->stride - job->top + i) * row,
                                 out + (i * job->kernel + j) * channels, to - from, job->left - j, own,
                                 1, TAPS, STEP);
        }
}

/* Add what one image gives to the sums of L channels from c on, but not to the `others` first of them. */
static void NAME(gradient)(const gradient_job *job, int64_t image, int64_t c, int64_t others)
{
    const float *g = job->g + image * job->height2 * job->width2 * job->channels + c;
    const float *x = job->x + image * job->height * job->width * job->channels + c;
    float *out = job->out + c;
    NAME(lanes) own = {0};
    for (int k = 0; k < L; k++)
        own[k] = -(k >= others);
#if L == LONGEST
    switch (job->stride <= 2 ? 4 * job->kernel + job->stride : 0) {
#define UNROLLED(TAPS, STEP, ROWS) \
    case 4 * TAPS + STEP: NAME(gathers)(job, g, x, out, own, ROWS, TAPS, STEP); return;
    UNROLLED(3, 1, 3)
    UNROLLED(3, 2, 3)
    UNROLLED(5, 1, FIVE)
    UNROLLED(5, 2, FIVE)
    UNROLLED(7, 1, 1)
    UNROLLED(7, 2, 1)
#undef UNROLLED
    default: break;
    }
#endif
    switch (job->kernel) { /* few channels or an unusual stride: shorter code */
    case 3: NAME(gathers)(job, g, x, out, own, 1, 3, 0); break;
    case 5: NAME(gathers)(job, g, x, out, own, 1, 5, 0); break;
    case 7: NAME(gathers)(job, g, x, out, own, 1, 7, 0); break;
    default: NAME(gathers)(job, g, x, out, own, 1, 1, 0); break;
    }
}

#undef L
#undef NAME
#undef JOIN
#undef JOIN2
