/* Rows with zero mean and unit deviation, and their gradient; included by kernels.c.
 *
 * All is computed in double and rounded once.  A row is one thread's, so threads change nothing. */

#define SUMS 16 /* sums side by side, because each waits for itself */

typedef struct {
    const float *x, *g; /* g is NULL forward */
    float *out;
    int64_t n; /* numbers of a row */
    double eps;
} standardise_job;

static double added_up(const double sums[SUMS])
{
    double sum = 0;
    for (int k = 0; k < SUMS; k++)
        sum += sums[k];
    return sum;
}

static double mean_of(const float *x, int64_t n)
{
    double sums[SUMS] = {0};
    int64_t i = 0;
    for (; i + SUMS <= n; i += SUMS)
        for (int k = 0; k < SUMS; k++)
            sums[k] += x[i + k];
    for (; i < n; i++)
        sums[i % SUMS] += x[i];
    return added_up(sums) / (double)n;
}

/* Sum of (a - mean_a) (b - mean_b). */
static double product_of(const float *a, double mean_a, const float *b, double mean_b, int64_t n)
{
    double sums[SUMS] = {0};
    int64_t i = 0;
    for (; i + SUMS <= n; i += SUMS)
        for (int k = 0; k < SUMS; k++)
            sums[k] += (a[i + k] - mean_a) * (b[i + k] - mean_b);
    for (; i < n; i++)
        sums[i % SUMS] += (a[i] - mean_a) * (b[i] - mean_b);
    return added_up(sums);
}

static void standardise_row(const float *restrict x, float *restrict out, int64_t n, double eps)
{
    const double mean = mean_of(x, n), deviation = sqrt(product_of(x, mean, x, mean, n) / (double)(n - 1));
    const double factor = 1 / (deviation + eps);
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)((x[i] - mean) * factor);
}

/* fallback.py has the formula.  The mean that it subtracts last is that of g / wide, for c has none. */
static void standardise_grad_row(const float *restrict g, const float *restrict x, float *restrict out,
                                 int64_t n, double eps)
{
    const double mean = mean_of(x, n), mean_g = mean_of(g, n), others = (double)(n - 1);
    const double deviation = sqrt(product_of(x, mean, x, mean, n) / others), wide = deviation + eps;
    const double along = product_of(g, mean_g, x, mean, n) / (others * deviation * wide * wide);
    const double factor = 1 / wide;
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)((g[i] - mean_g) * factor - (x[i] - mean) * along);
}

static void standardise_units(const void *given, int64_t first, int64_t last)
{
    const standardise_job *job = given;
    for (int64_t row = first; row < last; row++) {
        const int64_t at = row * job->n;
        if (job->g)
            standardise_grad_row(job->g + at, job->x + at, job->out + at, job->n, job->eps);
        else
            standardise_row(job->x + at, job->out + at, job->n, job->eps);
    }
}

EXPORT void edgewise_standardise(const float *x, const float *g, float *out, int64_t rows, int64_t n,
                                 double eps, int64_t threads)
{
    standardise_job job = {x, g, out, n, eps};
    divide(standardise_units, &job, rows, rows * n, threads);
}

#undef SUMS
