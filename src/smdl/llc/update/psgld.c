/* One pass of pSGLD over memory, its noise made on the spot; src/smdl/llc/sampler.py states the equations and
   src/smdl/llc/noise.py the noise, and both hold a plain form of what is here. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
#define GROUP (4 * LANES)

/* Philox4x32-10 (Salmon et al., SC 2011) on LANES counters that differ in their first word. */
static void philox(uint32_t x[4][LANES], uint64_t first, uint32_t step, uint32_t chain, uint64_t seed)
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    #pragma omp simd
    for (int i = 0; i < LANES; i++) {
        x[0][i] = (uint32_t)(first + i);
        x[1][i] = (uint32_t)((first + i) >> 32);
        x[2][i] = step;
        x[3][i] = chain;
    }
    for (int round = 0; round < 10; round++) {
        #pragma omp simd
        for (int i = 0; i < LANES; i++) {
            uint64_t a = (uint64_t)0xD2511F53u * x[0][i], b = (uint64_t)0xCD9E8D57u * x[2][i];
            x[0][i] = (uint32_t)(b >> 32) ^ x[1][i] ^ key0;
            x[1][i] = (uint32_t)b;
            x[2][i] = (uint32_t)(a >> 32) ^ x[3][i] ^ key1;
            x[3][i] = (uint32_t)a;
        }
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

/* Natural logarithm for 2^-24 <= u <= 1, the polynomial of Cephes' logf; a library call would not vectorise. */
static inline float logarithm(float u)
{
    uint32_t bits;
    memcpy(&bits, &u, 4);
    int32_t exponent = (int32_t)((bits - 0x3F3504F3u) & 0xFF800000u) >> 23; /* mantissa in [sqrt(1/2), sqrt(2)) */
    bits -= (uint32_t)exponent << 23;
    memcpy(&u, &bits, 4);
    float e = (float)exponent, x = u - 1.0f, z = x * x;
    float p = 7.0376836292e-2f;
    p = p * x - 1.1514610310e-1f;
    p = p * x + 1.1676998740e-1f;
    p = p * x - 1.2420140846e-1f;
    p = p * x + 1.4249322787e-1f;
    p = p * x - 1.6668057665e-1f;
    p = p * x + 2.0000714765e-1f;
    p = p * x - 2.4999993993e-1f;
    p = p * x + 3.3333331174e-1f;
    return x * z * p - 2.12194440e-4f * e - 0.5f * z + x + 0.693359375f * e;
}

/* sqrt(-2 ln u) cos(2 pi v) and the same with sin; u and v are 24 bits each (Box and Muller). */
static inline void box_muller(uint32_t u_bits, uint32_t v_bits, float *cosine, float *sine)
{
    float radius = sqrtf(-2.0f * logarithm((float)(int32_t)((u_bits >> 8) + 1) * 0x1p-24f));
    int32_t v = (int32_t)(v_bits >> 8);
    int32_t quadrant = (v + (1 << 21)) >> 22;
    float x = (float)(v - (quadrant << 22)) * (1.57079632679f * 0x1p-22f), z = x * x;
    float s = x + x * z * (-1.6666654611e-1f + z * (8.3321608736e-3f - z * 1.9515295891e-4f));
    float c = 1.0f - 0.5f * z + z * z * (4.166664568298827e-2f + z * (-1.388731625493765e-3f + z * 2.443315711809948e-5f));
    float other = quadrant & 1 ? s : c, along = quadrant & 1 ? c : s;
    *cosine = radius * ((quadrant + 1) & 2 ? -other : other);
    *sine = radius * (quadrant & 2 ? -along : along);
}

static void normals(float z[4][LANES], uint64_t first, uint32_t step, uint32_t chain, uint64_t seed)
{
    uint32_t x[4][LANES];
    philox(x, first, step, chain, seed);
    #pragma omp simd
    for (int i = 0; i < LANES; i++) {
        box_muller(x[0][i], x[1][i], &z[0][i], &z[1][i]);
        box_muller(x[2][i], x[3][i], &z[2][i], &z[3][i]);
    }
}

static double update_row(float *restrict weights, const float *restrict gradient, const float *restrict anchor,
                         float *restrict second_moment, float *restrict control, int64_t n, uint64_t offset,
                         uint32_t step, uint32_t chain, uint64_t seed, const float *settings)
{
    float lr = settings[0], n_beta = settings[1], gamma = settings[2], alpha = settings[3], eps_rms = settings[4];
    double distance = 0;
    for (int64_t i = 0; i < n; i += GROUP) {
        float z[GROUP], scale[GROUP], square[GROUP] = {0};
        int count = n - i < GROUP ? (int)(n - i) : GROUP;
        normals((float(*)[LANES])z, (offset + (uint64_t)i) / 4, step, chain, seed);
#pragma omp simd
        for (int j = 0; j < count; j++) {
            float g = gradient[i + j], away = weights[i + j] - anchor[i + j];
            float v = alpha * second_moment[i + j] + (1.0f - alpha) * g * g;
            float scaled = lr / (sqrtf(v) + eps_rms);
            second_moment[i + j] = v;
            weights[i + j] += sqrtf(scaled) * z[j] - 0.5f * scaled * (gamma * away + n_beta * g);
            scale[j] = scaled;
            square[j] = away * away;
        }
        if (control) {
#pragma omp simd
            for (int j = 0; j < count; j++)
                control[i + j] += sqrtf(scale[j]) * z[j] - 0.5f * scale[j] * gamma * (control[i + j] - anchor[i + j]);
        }
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int j = 0; j < GROUP; j++)
            sum += square[j];
        distance += sum;
    }
    return distance;
}

/* One update in place of weights, second moment and control (which may be NULL), a row per chain, rows `stride` apart
   and n long; adds the squared distances from the anchor before it to `distances`. `settings` are lr, n_beta, gamma,
   alpha, eps_rms. */
void update(float *weights, const float *gradient, const float *anchor, float *second_moment, float *control,
            int64_t rows, int64_t stride, int64_t gradient_stride, int64_t n, uint64_t offset, uint32_t step,
            const int64_t *chains, uint64_t seed, const float *settings, double *distances)
{
    for (int64_t row = 0; row < rows; row++)
        distances[row] += update_row(weights + row * stride, gradient + row * gradient_stride, anchor + row * stride,
                                     second_moment + row * stride, control ? control + row * stride : 0, n, offset,
                                     step, (uint32_t)chains[row], seed, settings);
}

/* `n` standard normals: the places of a step's noise from `offset` on. */
void noise(float *out, int64_t n, uint64_t offset, uint32_t step, uint32_t chain, uint64_t seed)
{
    for (int64_t i = 0; i < n; i += GROUP) {
        float z[GROUP];
        normals((float(*)[LANES])z, (offset + (uint64_t)i) / 4, step, chain, seed);
        memcpy(out + i, z, sizeof(float) * (size_t)(n - i < GROUP ? n - i : GROUP));
    }
}
