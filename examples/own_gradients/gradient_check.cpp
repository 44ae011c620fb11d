// SPDX-License-Identifier: Apache-2.0
#include "gradient_check.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "fashion/random.hpp"

namespace own_gradients {
namespace {

using numbers = std::vector<double>;

constexpr double epsilon = 1e-5;

/// What nobody has written, and what comes of it, is not to pass for a small error.
constexpr double unwritten = std::numeric_limits<double>::quiet_NaN();

/// The larger of two errors; NaN if one is.
double larger(double a, double b) {
    return b <= a || std::isnan(a) ? a : b;
}

/// All that an oracle says at one point, in the order in which the solver asks.
struct evaluation {
    evaluation(cubome::oracle<double>& oracle, std::int64_t num_problems, const numbers& outer, const numbers& inner,
               const numbers& descent)
        : gap(static_cast<std::size_t>(num_problems), unwritten),
          magnitude(gap),
          value(gap),
          gap_of_inner(inner.size(), unwritten),
          gap_of_outer(outer.size(), unwritten),
          value_of_outer(outer.size(), unwritten),
          value_of_inner(inner.size(), unwritten) {
        cubome::oracle_call call;
        call.num_problems = num_problems;
        oracle.prepare(call, outer.data());
        oracle.outer_gradient(call, outer.data(), inner.data(), value.data(), value_of_outer.data(),
                              value_of_inner.data());
        call.descent_step = 0;
        oracle.inner_gradient(call, outer.data(), inner.data(), gap_of_inner.data());
        call.descent_step = -1;
        oracle.gap_gradient(call, outer.data(), inner.data(), descent.data(), gap.data(), magnitude.data(),
                            gap_of_outer.data());
        if (!oracle.has_held_out()) return;
        held_out.assign(gap.size(), unwritten);
        oracle.held_out(call, outer.data(), inner.data(), held_out.data());
    }

    numbers gap, magnitude, value, gap_of_inner, gap_of_outer, value_of_outer, value_of_inner, held_out;
};

/// A random direction of length 1 for each problem.
numbers directions(fashion::random_stream& random, std::size_t num_problems, std::size_t dim) {
    numbers result(num_problems * dim);
    for (std::size_t p = 0; p < num_problems; ++p) {
        double squares = 0;
        for (std::size_t i = p * dim; i < (p + 1) * dim; ++i) {
            result[i] = static_cast<double>(random.next() >> 11) * 0x1p-52 - 1;
            squares += result[i] * result[i];
        }
        for (std::size_t i = p * dim; i < (p + 1) * dim; ++i) result[i] /= std::sqrt(squares);
    }
    return result;
}

numbers moved(numbers x, const numbers& along, double by) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += by * along[i];
    return x;
}

/// The largest |⟨∇h, u⟩ − (h₊ − h₋) / 2ε| / ‖∇h‖ of a problem; of a gradient that is 0, the difference itself.
double largest_error(const numbers& gradient, const numbers& along, const numbers& above, const numbers& below) {
    const std::size_t dim = gradient.size() / above.size();
    double result = 0;
    for (std::size_t p = 0; p < above.size(); ++p) {
        double slope = 0, squares = 0;
        for (std::size_t i = p * dim; i < (p + 1) * dim; ++i)
            slope += gradient[i] * along[i], squares += gradient[i] * gradient[i];
        const double error = std::abs(slope - (above[p] - below[p]) / (2 * epsilon));
        result = larger(result, squares > 0 ? error / std::sqrt(squares) : error);
    }
    return result;
}

}  // namespace

gradient_errors check_gradients(cubome::oracle<double>& oracle, std::int64_t num_problems, const numbers& outer,
                                const numbers& inner, const numbers& descent, int num_directions) {
    const auto count = static_cast<std::size_t>(num_problems);
    fashion::random_stream random(1);
    oracle.reserve(num_problems);
    const evaluation here(oracle, num_problems, outer, inner, descent);
    gradient_errors result{};
    for (int k = 0; k < num_directions; ++k) {
        const numbers u = directions(random, count, outer.size() / count);
        const evaluation right(oracle, num_problems, moved(outer, u, epsilon), inner, descent);
        const evaluation left(oracle, num_problems, moved(outer, u, -epsilon), inner, descent);
        result.gap = larger(result.gap, largest_error(here.gap_of_outer, u, right.gap, left.gap));
        result.outer = larger(result.outer, largest_error(here.value_of_outer, u, right.value, left.value));

        const numbers w = directions(random, count, inner.size() / count);
        const evaluation above(oracle, num_problems, outer, moved(inner, w, epsilon), descent);
        const evaluation below(oracle, num_problems, outer, moved(inner, w, -epsilon), descent);
        result.inner = larger(result.inner, largest_error(here.gap_of_inner, w, above.gap, below.gap));
        result.outer = larger(result.outer, largest_error(here.value_of_inner, w, above.value, below.value));
    }
    return result;
}

double difference_of(cubome::oracle<double>& one, cubome::oracle<double>& other, std::int64_t num_problems,
                     const numbers& outer, const numbers& inner, const numbers& descent) {
    one.reserve(num_problems);
    other.reserve(num_problems);
    const evaluation a(one, num_problems, outer, inner, descent), b(other, num_problems, outer, inner, descent);
    double result = 0;
    for (const auto output :
         {&evaluation::gap, &evaluation::magnitude, &evaluation::value, &evaluation::gap_of_inner,
          &evaluation::gap_of_outer, &evaluation::value_of_outer, &evaluation::value_of_inner, &evaluation::held_out}) {
        double largest = 0, apart = 0;
        for (std::size_t i = 0; i < (a.*output).size(); ++i) {
            largest = larger(largest, std::abs((a.*output)[i]));
            apart = larger(apart, std::abs((a.*output)[i] - (b.*output)[i]));
        }
        result = larger(result, largest > 0 ? apart / largest : apart);
    }
    return result;
}

}  // namespace own_gradients
