// SPDX-License-Identifier: Apache-2.0
#include "gpu_groups.hpp"

#include "cubome/cuda/block_group.cuh"
#include "cubome/cuda/tile_group.cuh"

namespace gpu {
namespace {

using cubome::extent;
using cubome::lane_element;
using any_extent = extent<cubome::dynamic>;

template <class Group, class E>
CUBOME_INLINE void probe_group(const Group& g, E n, int group_rank, const group_probe<typename Group::real>& p) {
    using real = typename Group::real;
    constexpr index width = Group::width;
    const int first = group_rank * p.n;
    g.for_each(n, [&](lane_element i) {
        atomicAdd(&p.num_visits[first + i.element], 1);
        p.visitor[first + i.element] = g.rank();
    });

    const fold<real> forward{p.x, p.y}, backward{p.y, p.x};
    const any_extent some(n / 2);
    const auto a = g.template sum<2>(n, forward, some, backward);
    const auto b = g.template sum<2>(some, backward);
    const auto c = g.template sum<2>(some, backward, n, forward);
    const int lane = group_rank * width + g.rank();
    for (int k = 0; k < 2; ++k) {
        p.sums[lane * 6 + k] = a[k];
        p.sums[lane * 6 + 2 + k] = b[k];
        p.sums[lane * 6 + 4 + k] = c[k];
    }

    g.sum_each(n, any_extent(row_length), row_term<real>{p.x, p.y},
               [&](lane_element i, real sum) { p.row_sums[first + i.element] = sum; });

    p.largest[lane] = g.maximum(n, [&](lane_element i) { return p.x[i.element]; });
    p.all_hold[lane * 2] = g.all_of(n, [&](lane_element i) { return i.element >= 0; });
    p.all_hold[lane * 2 + 1] = g.all_of(n, [&](lane_element i) { return i.element != n / 2; });
}

/// The group of the calling thread.
template <class Real, index Width>
CUBOME_INLINE auto make_group() {
    if constexpr (Width <= 32)
        return cubome::tile_group<Real, Width>();
    else
        return cubome::block_group<Real, Width>(reinterpret_cast<Real*>(cubome::simt::shared_memory()));
}

template <class Real, index Width, index N>
__global__ void __launch_bounds__(threads_of(Width)) probe_groups(const __grid_constant__ group_probe<Real> p) {
    const auto g = make_group<Real, Width>();
    const int group_rank = cubome::simt::thread_rank() / Width;
    if constexpr (N == cubome::dynamic)
        probe_group(g, any_extent(p.n > group_rank ? p.n - group_rank : 0), group_rank, p);
    else
        probe_group(g, extent<N>(), group_rank, p);
}

template <class Real, index Width>
int launch(bool is_constant, const group_probe<Real>& p) {
    std::size_t shared_bytes = 0;
    if constexpr (Width > 32) shared_bytes = cubome::block_group<Real, Width>::num_exchanged * sizeof(Real);
    constexpr int threads = threads_of(Width);
    if (!is_constant)
        probe_groups<Real, Width, cubome::dynamic><<<1, threads, shared_bytes>>>(p);
    else if (p.n == constant_sizes[0])
        probe_groups<Real, Width, constant_sizes[0]><<<1, threads, shared_bytes>>>(p);
    else if (p.n == constant_sizes[1])
        probe_groups<Real, Width, constant_sizes[1]><<<1, threads, shared_bytes>>>(p);
    else
        return cudaErrorInvalidValue;
    return cudaGetLastError();
}

template <class Real>
int launch_width(int width, bool is_constant, const group_probe<Real>& p) {
    switch (width) {
        case 2:
            return launch<Real, 2>(is_constant, p);
        case 4:
            return launch<Real, 4>(is_constant, p);
        case 8:
            return launch<Real, 8>(is_constant, p);
        case 16:
            return launch<Real, 16>(is_constant, p);
        case 32:
            return launch<Real, 32>(is_constant, p);
        case 64:
            return launch<Real, 64>(is_constant, p);
        case 128:
            return launch<Real, 128>(is_constant, p);
        case 256:
            return launch<Real, 256>(is_constant, p);
        case 512:
            return launch<Real, 512>(is_constant, p);
        case 1024:
            return launch<Real, 1024>(is_constant, p);
        default:
            return cudaErrorInvalidValue;
    }
}

}  // namespace

int launch_probe(int width, bool is_constant, const group_probe<float>& probe) {
    return launch_width(width, is_constant, probe);
}
int launch_probe(int width, bool is_constant, const group_probe<double>& probe) {
    return launch_width(width, is_constant, probe);
}

}  // namespace gpu
