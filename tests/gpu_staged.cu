// SPDX-License-Identifier: Apache-2.0
#include "gpu_staged.hpp"

#include <cstdint>
#include <stdexcept>

namespace gpu {
namespace {

/// work(i) for each i in [0, count).
template <class Work>
__global__ void for_each(std::int64_t count, const Work work) {
    const std::int64_t stride = std::int64_t(gridDim.x) * blockDim.x;
    for (std::int64_t i = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) work(i);
}

template <class Work>
void enqueue(const cubome::oracle_call& call, std::int64_t count, const Work& work) {
    for_each<<<256, 128, 0, call.stream>>>(count, work);
    if (cudaGetLastError() != cudaSuccess) throw std::runtime_error("a launch of the test's own failed");
}

template <class Real>
class device_springs final : public cubome::oracle<Real> {
public:
    explicit device_springs(std::int64_t dim) : springs_{dim} {}

    cubome::backend where() const override { return cubome::backend::cuda; }
    std::int64_t outer_dim() const override { return springs_.dim; }
    std::int64_t inner_dim() const override { return springs_.dim; }

    void inner_gradient(const cubome::oracle_call& call, const Real* v, const Real* theta, Real* to) override {
        const auto s = springs_;
        enqueue(call, call.num_problems * s.dim, [=] __device__(std::int64_t e) { s.inner_gradient(e, v, theta, to); });
    }
    void gap_gradient(const cubome::oracle_call& call, const Real* v, const Real* theta, const Real* descent, Real* gap,
                      Real* magnitude, Real* to) override {
        const auto s = springs_;
        enqueue(call, call.num_problems * s.dim,
                [=] __device__(std::int64_t e) { s.gap_gradient(e, theta, descent, to); });
        enqueue(call, call.num_problems,
                [=] __device__(std::int64_t p) { s.gap(p, v, theta, descent, gap, magnitude); });
    }
    void outer_gradient(const cubome::oracle_call& call, const Real* v, const Real* theta, Real* value, Real* of_outer,
                        Real* of_inner) override {
        const auto s = springs_;
        enqueue(call, call.num_problems * s.dim,
                [=] __device__(std::int64_t e) { s.outer_gradient(e, v, theta, of_outer, of_inner); });
        enqueue(call, call.num_problems, [=] __device__(std::int64_t p) { value[p] = s.value(p, v, theta); });
    }

private:
    springs<Real> springs_;
};

}  // namespace

template <class Real>
std::unique_ptr<cubome::oracle<Real>> make_device_springs(std::int64_t dim) {
    return std::make_unique<device_springs<Real>>(dim);
}
template std::unique_ptr<cubome::oracle<float>> make_device_springs(std::int64_t);
template std::unique_ptr<cubome::oracle<double>> make_device_springs(std::int64_t);

}  // namespace gpu
