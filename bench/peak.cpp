// SPDX-License-Identifier: Apache-2.0
#include "peak.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bench {
namespace {

// As many chains as hide the latency of two fma units, and as fit the registers.
constexpr int num_chains = 12;
constexpr std::int64_t num_rounds = 4'000'000;

volatile float sink;

#if defined(__x86_64__)
/// @return operations of one call
__attribute__((target("avx512f"))) double run_avx512() {
    __m512 chains[num_chains];
    for (int c = 0; c < num_chains; ++c) chains[c] = _mm512_set1_ps(static_cast<float>(c));
    const __m512 a = _mm512_set1_ps(0.999F), b = _mm512_set1_ps(0.001F);
    for (std::int64_t i = 0; i < num_rounds; ++i) {
#pragma GCC unroll 12
        for (int c = 0; c < num_chains; ++c) chains[c] = _mm512_fmadd_ps(chains[c], a, b);
    }
    float total = 0;
    for (const __m512& chain : chains) total += _mm512_cvtss_f32(chain);
    sink = total;
    return 2.0 * 16 * num_chains * static_cast<double>(num_rounds);
}

__attribute__((target("avx2,fma"))) double run_avx2() {
    __m256 chains[num_chains];
    for (int c = 0; c < num_chains; ++c) chains[c] = _mm256_set1_ps(static_cast<float>(c));
    const __m256 a = _mm256_set1_ps(0.999F), b = _mm256_set1_ps(0.001F);
    for (std::int64_t i = 0; i < num_rounds; ++i) {
#pragma GCC unroll 12
        for (int c = 0; c < num_chains; ++c) chains[c] = _mm256_fmadd_ps(chains[c], a, b);
    }
    float total = 0;
    for (const __m256& chain : chains) total += _mm256_cvtss_f32(chain);
    sink = total;
    return 2.0 * 8 * num_chains * static_cast<double>(num_rounds);
}
#endif

double run_baseline() {
    using vector = float __attribute__((vector_size(16)));
    vector chains[num_chains];
    for (int c = 0; c < num_chains; ++c) chains[c] = vector{} + static_cast<float>(c);
    const vector a = vector{} + 0.999F, b = vector{} + 0.001F;
    for (std::int64_t i = 0; i < num_rounds; ++i) {
#pragma GCC unroll 12
        for (int c = 0; c < num_chains; ++c) chains[c] = chains[c] * a + b;
    }
    float total = 0;
    for (const vector& chain : chains) total += chain[0];
    sink = total;
    return 2.0 * 4 * num_chains * static_cast<double>(num_rounds);
}

double run_widest() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return run_avx512();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return run_avx2();
#endif
    return run_baseline();
}

}  // namespace

double measure_peak_gflops(int num_threads) {
    double best = 0;
    for (int k = 0; k < 8; ++k) {
        std::vector<double> operations(static_cast<std::size_t>(num_threads));
        const auto start = std::chrono::steady_clock::now();
        std::vector<std::thread> threads;
        for (double& count : operations) threads.emplace_back([&count] { count = run_widest(); });
        for (std::thread& thread : threads) thread.join();
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
        double total = 0;
        for (const double count : operations) total += count;
        best = std::max(best, total / elapsed.count() * 1e-9);
    }
    return best;
}

}  // namespace bench
