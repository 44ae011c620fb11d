// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace bench {

/// float32 operations per second, in 10⁹, of so many threads that do nothing but multiply and add in registers, with
/// the widest vectors that this CPU has; the best of several short runs.
double measure_peak_gflops(int num_threads);

}  // namespace bench
