/* One step of Adam over the numbers of one parameter; included by kernels.c.
 *
 * In the order of torch's operations, of which each would be a pass over memory.  No number looks at
 * another, so neither threads nor the place where a number lies change anything. */

typedef struct {
    float *parameter, *first, *second;
    const float *gradient;
    int64_t n;
    float new1, old2, new2, eps, rate, correction;
} adam_job;

static void adam(float *restrict parameter, const float *restrict gradient, float *restrict first,
                 float *restrict second, int64_t n, const adam_job *job)
{
    const float new1 = job->new1, old2 = job->old2, new2 = job->new2, eps = job->eps, rate = job->rate,
                correction = job->correction;
    for (int64_t i = 0; i < n; i++) {
        const float g = gradient[i];
        first[i] += new1 * (g - first[i]);
        /* the square first: where one rounding serves a product and a sum, it is this one, as in torch */
        second[i] = new2 * g * g + old2 * second[i];
        parameter[i] -= rate * first[i] / (sqrtf(second[i]) / correction + eps);
    }
}

static void adam_units(const void *given, int64_t first, int64_t last)
{
    const adam_job *job = given;
    const int64_t at = first * PIECE, end = smaller(last * PIECE, job->n);
    adam(job->parameter + at, job->gradient + at, job->first + at, job->second + at, end - at, job);
}

EXPORT void edgewise_adam(float *parameter, const float *gradient, float *first, float *second, int64_t n,
                          double rate, double correction, double beta1, double beta2, double eps,
                          int64_t threads)
{
    adam_job job = {parameter, first, second, gradient, n, (float)(1 - beta1), (float)beta2, (float)(1 - beta2),
                    (float)eps, (float)rate, (float)correction};
    divide(adam_units, &job, (n + PIECE - 1) / PIECE, n, threads);
}
