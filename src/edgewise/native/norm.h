/* Batch norm: the moments of every channel, the affine map, and its gradient; included by kernels.c.
 *
 * Several short rows are taken as one line, so that a loop over a line is worth starting; every lane of
 * a line has its own sums.  A block of few lines is summed up in float, the blocks in double.  Blocks
 * and parts depend on the size of the map only and are put together in order, so threads change nothing. */

#define LINE 64    /* elements that a line has at least */
#define LINES 32   /* lines of a block: few enough for sums in float */
#define PART 16384 /* elements for which one more array of sums is worth while, */
#define PARTS 32   /* and the most of such arrays */

typedef struct {
    int64_t n, channels, width; /* elements of the map, of a row, and of a line: 1, 2, 4 ... rows */
    int64_t part, parts;        /* elements of a part, each with whole bytes of bits */
} layout;

static layout laid_out(int64_t rows, int64_t channels)
{
    int64_t n = rows * channels, width = channels;
    while (width > 0 && width < LINE)
        width *= 2;
    const int64_t block = larger(1, LINES * width), blocks = (n + block - 1) / block;
    const int64_t part = block * larger((blocks + PARTS - 1) / PARTS, (PART + block - 1) / block);
    return (layout){n, channels, width, part, larger(1, (n + part - 1) / part)};
}

/* One value a channel, repeated for every lane of a line. */
static const float *lanes(const float *values, const layout *map, float room[2 * LINE])
{
    if (!values || map->width == map->channels)
        return values;
    for (int64_t k = 0; k < map->width; k++)
        room[k] = values[k % map->channels];
    return room;
}

/* ---- sums over all rows: each part has two double and two float numbers for every lane */

static double *room_for_sums(const layout *map)
{
    return malloc((size_t)(map->parts * map->width) * (2 * sizeof(double) + 2 * sizeof(float)));
}

static double *sums_of(double *sums, const layout *map, int64_t part) { return sums + 3 * map->width * part; }

/* All parts and all lanes of a channel, left in the first lane of the first part. */
static void put_together(double *sums, const layout *map)
{
    for (int64_t part = 1; part < map->parts; part++) {
        const double *other = sums_of(sums, map, part);
        for (int64_t k = 0; k < 2 * map->width; k++)
            sums[k] += other[k];
    }
    for (int64_t k = map->channels; k < map->width; k++) {
        sums[k % map->channels] += sums[k];
        sums[map->width + k % map->channels] += sums[map->width + k];
    }
}

/* ---- moments */

typedef struct {
    const float *x, *base; /* base: the first row, for every lane */
    double *sums;
    layout map;
} moments_job;

INLINE void add_moments(const float *restrict x, const float *restrict first, float *restrict sum,
                        float *restrict square, int64_t width, const int COUNT)
{
    for (int64_t k = 0; k < width; k++) {
        float s = 0, q = 0;
#pragma GCC unroll 4
        for (int j = 0; j < COUNT; j++) {
            float d = x[j * width + k] - first[k];
            s += d;
            q += d * d;
        }
        sum[k] += s;
        square[k] += q;
    }
}

/* From sums about the first line of the block, which the float numbers are close to, to sums about base. */
static void settle_moments(const float *restrict first, const float *restrict base, const float *restrict sum,
                           const float *restrict square, double *restrict total, double *restrict total2,
                           int64_t width, double lines)
{
    for (int64_t k = 0; k < width; k++) {
        double s = sum[k], d = (double)first[k] - base[k];
        total[k] += s + lines * d;
        total2[k] += square[k] + d * (2 * s + lines * d);
    }
}

static void moments_units(const void *given, int64_t begin, int64_t end)
{
    const moments_job *job = given;
    const int64_t width = job->map.width;
    for (int64_t part = begin; part < end; part++) {
        double *total = sums_of(job->sums, &job->map, part), *total2 = total + width;
        float *sum = (float *)(total2 + width), *square = sum + width;
        const int64_t stop = smaller((part + 1) * job->map.part, job->map.n);
        memset(total, 0, 2 * (size_t)width * sizeof *total);
        for (int64_t at = part * job->map.part, last; at < stop; at = last) {
            const float *first = job->x + at;
            last = smaller(at + LINES * width, stop);
            const int64_t lines = (last - at) / width, rest = (last - at) % width;
            memset(sum, 0, 2 * (size_t)width * sizeof *sum);
            for (; at + 4 * width <= last; at += 4 * width)
                add_moments(job->x + at, first, sum, square, width, 4);
            for (; at < last; at += width)
                add_moments(job->x + at, first, sum, square, smaller(width, last - at), 1);
            settle_moments(first, job->base, sum, square, total, total2, rest, (double)lines + 1);
            if (lines)
                settle_moments(first + rest, job->base + rest, sum + rest, square + rest, total + rest,
                               total2 + rest, width - rest, (double)lines);
        }
    }
}

/* Mean and biased variance of each channel; 0 if there is no memory. */
EXPORT int edgewise_moments(const float *x, float *mean, float *variance, int64_t rows, int64_t channels,
                            int64_t threads)
{
    float room[2 * LINE];
    layout map = laid_out(rows, channels);
    if (!map.n) {
        for (int64_t c = 0; c < channels; c++)
            mean[c] = variance[c] = NAN;
        return 1;
    }
    moments_job job = {x, lanes(x, &map, room), room_for_sums(&map), map};
    if (!job.sums)
        return 0;
    divide(moments_units, &job, map.parts, map.n, threads);
    put_together(job.sums, &map);
    const double *total = job.sums, *total2 = total + map.width, count = (double)rows;
    /* What is lost here is small: the first row is one of the numbers, so the variance is at least the
     * square of its distance from the mean over the count. */
    for (int64_t c = 0; c < channels; c++) {
        mean[c] = (float)(x[c] + total[c] / count);
        variance[c] = (float)((total2[c] - total[c] * total[c] / count) / count);
    }
    free(job.sums);
    return 1;
}

/* ---- the affine map */

typedef struct {
    const float *x, *mean, *scale, *shift; /* the vectors for every lane */
    float *out;                            /* or x itself */
    uint8_t *bits;
    layout map;
    int64_t piece; /* elements of one unit */
    float low, high;
} affine_job;

static void affine(const float *restrict x, const float *restrict mean, const float *restrict scale,
                   const float *restrict shift, float *restrict out, int64_t n, float low, float high)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = clamped((x[i] - mean[i]) * scale[i] + shift[i], low, high);
}

static void affine_in_place(float *restrict x, const float *restrict mean, const float *restrict scale,
                            const float *restrict shift, int64_t n, float low, float high)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = clamped((x[i] - mean[i]) * scale[i] + shift[i], low, high);
}

static void affine_units(const void *given, int64_t first, int64_t last)
{
    const affine_job *job = given;
    const int64_t width = job->map.width;
    for (int64_t unit = first; unit < last; unit++) {
        const int64_t begin = unit * job->piece, end = smaller(begin + job->piece, job->map.n);
        for (int64_t at = begin; at < end; at += width) {
            const int64_t n = smaller(width, end - at);
            if (job->x == job->out)
                affine_in_place(job->out + at, job->mean, job->scale, job->shift, n, job->low, job->high);
            else
                affine(job->x + at, job->mean, job->scale, job->shift, job->out + at, n, job->low, job->high);
        }
        if (job->bits)
            pack(job->out + begin, end - begin, job->low, job->high, job->bits + begin / 8);
    }
}

EXPORT void edgewise_affine_clamp(const float *x, const float *mean, const float *scale, const float *shift,
                                  float *out, uint8_t *bits, int64_t rows, int64_t channels, float low,
                                  float high, int64_t threads)
{
    float rooms[3][2 * LINE];
    const layout map = laid_out(rows, channels);
    const int64_t whole = larger(1, map.width * rows_to_a_byte(map.width));
    affine_job job = {x, lanes(mean, &map, rooms[0]), lanes(scale, &map, rooms[1]),
                      lanes(shift, &map, rooms[2]), out, bits, map, whole * larger(1, PIECE / whole), low, high};
    divide(affine_units, &job, (map.n + job.piece - 1) / job.piece, map.n, threads);
}

/* ---- its gradient */

typedef struct {
    float *g;
    const float *scale, *x, *mean; /* each may be NULL; the vectors for every lane */
    const uint8_t *bits;           /* or NULL */
    double *sums;                  /* or NULL, then without x */
    layout map;
} gradient_of_affine_job;

INLINE void add_lines(float *restrict g, const float *restrict x, const float *restrict mean,
                      const float *restrict scale, float *restrict sum, float *restrict product,
                      int64_t width, const int COUNT, const int SUMS, const int X, const int SCALE)
{
    for (int64_t k = 0; k < width; k++) {
        float s = 0, p = 0;
#pragma GCC unroll 4
        for (int j = 0; j < COUNT; j++) {
            float v = g[j * width + k];
            s += v;
            if (X)
                p += v * (x[j * width + k] - mean[k]);
            if (SCALE)
                g[j * width + k] = v * scale[k];
        }
        if (SUMS)
            sum[k] += s;
        if (X)
            product[k] += p;
    }
}

/* COUNT lines of `width` elements, or of the rest of the map. */
INLINE void meet_lines(const gradient_of_affine_job *job, int64_t at, int64_t width, float *sum, const int COUNT)
{
    float *g = job->g + at;
    const float *x = job->x ? job->x + at : 0, *mean = job->mean, *scale = job->scale;
    float *product = sum + job->map.width;
    if (x && scale)
        add_lines(g, x, mean, scale, sum, product, width, COUNT, 1, 1, 1);
    else if (x)
        add_lines(g, x, mean, 0, sum, product, width, COUNT, 1, 1, 0);
    else if (job->sums && scale)
        add_lines(g, 0, 0, scale, sum, 0, width, COUNT, 1, 0, 1);
    else if (job->sums)
        add_lines(g, 0, 0, 0, sum, 0, width, COUNT, 1, 0, 0);
    else if (scale)
        add_lines(g, 0, 0, scale, 0, 0, width, COUNT, 0, 0, 1);
}

static void gradient_of_affine_units(const void *given, int64_t begin, int64_t end)
{
    const gradient_of_affine_job *job = given;
    const int64_t width = job->map.width;
    for (int64_t part = begin; part < end; part++) {
        double *total = job->sums ? sums_of(job->sums, &job->map, part) : 0;
        float *sum = total ? (float *)(total + 2 * width) : 0;
        const int64_t stop = smaller((part + 1) * job->map.part, job->map.n), both = job->x ? 2 * width : width;
        if (total)
            memset(total, 0, 2 * (size_t)width * sizeof *total);
        for (int64_t at = part * job->map.part, last; at < stop; at = last) {
            last = smaller(at + LINES * width, stop);
            if (sum)
                memset(sum, 0, (size_t)both * sizeof *sum);
            for (int64_t masked = at; at < last;) {
                if (job->bits && at == masked) { /* as many lines as have whole bytes in any case */
                    masked = smaller(at + 8 * width, last);
                    apply_mask(job->g + at, masked - at, job->bits + at / 8);
                }
                if (at + 4 * width <= last) {
                    meet_lines(job, at, width, sum, 4);
                    at += 4 * width;
                } else {
                    meet_lines(job, at, smaller(width, last - at), sum, 1);
                    at += width;
                }
            }
            if (sum)
                for (int64_t k = 0; k < both; k++)
                    total[k] += sum[k];
        }
    }
}

/* Neither sum if both are NULL; 0 if there is no memory, and then g is as it was. */
EXPORT int edgewise_affine_grad(float *g, const float *scale, const float *x, const float *mean,
                                const uint8_t *bits, float *to_shift, float *to_scale, int64_t rows,
                                int64_t channels, int64_t threads)
{
    float rooms[2][2 * LINE];
    const layout map = laid_out(rows, channels);
    double *sums = to_shift ? room_for_sums(&map) : 0;
    if (to_shift && !sums && map.width)
        return 0;
    gradient_of_affine_job job = {g, lanes(scale, &map, rooms[0]), x, lanes(mean, &map, rooms[1]), bits, sums, map};
    divide(gradient_of_affine_units, &job, map.parts, map.n, threads);
    if (sums)
        put_together(sums, &map);
    for (int64_t c = 0; to_shift && c < channels; c++)
        to_shift[c] = (float)sums[c];
    for (int64_t c = 0; to_scale && c < channels; c++)
        to_scale[c] = (float)sums[map.width + c];
    free(sums);
    return 1;
}

#undef LINE
#undef LINES
#undef PART
#undef PARTS
