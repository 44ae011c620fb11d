// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <utility>
#include <vector>

#include "cubome/families.hpp"
#include "host/command/source_makers.hpp"

namespace cubome::command {
namespace {

using vec = std::vector<double>;

/// Solves Ax = b by elimination with pivots; A [n, n] row-major.
vec solve_linear(vec a, vec b) {
    const std::size_t n = b.size();
    for (std::size_t i = 0; i < n; ++i) {
        std::size_t pivot = i;
        for (std::size_t r = i; r < n; ++r)
            if (std::abs(a[r * n + i]) > std::abs(a[pivot * n + i])) pivot = r;
        for (std::size_t c = 0; c < n; ++c) std::swap(a[i * n + c], a[pivot * n + c]);
        std::swap(b[i], b[pivot]);
        for (std::size_t r = i + 1; r < n; ++r) {
            const double factor = a[r * n + i] / a[i * n + i];
            for (std::size_t c = i; c < n; ++c) a[r * n + c] -= factor * a[i * n + c];
            b[r] -= factor * b[i];
        }
    }
    for (std::size_t i = n; i-- > 0;) {
        for (std::size_t c = i + 1; c < n; ++c) b[i] -= a[i * n + c] * b[c];
        b[i] /= a[i * n + i];
    }
    return b;
}

/// Rows that are orthonormal: normal ones by Gram and Schmidt, twice.
vec random_orthogonal(std::size_t n, draw_stream& random) {
    vec q(n * n);
    for (double& x : q) x = random.normal();
    for (std::size_t i = 0; i < n; ++i) {
        for (int pass = 0; pass < 2; ++pass) {
            for (std::size_t j = 0; j < i; ++j) {
                double along = 0;
                for (std::size_t c = 0; c < n; ++c) along += q[i * n + c] * q[j * n + c];
                for (std::size_t c = 0; c < n; ++c) q[i * n + c] -= along * q[j * n + c];
            }
        }
        double square = 0;
        for (std::size_t c = 0; c < n; ++c) square += q[i * n + c] * q[i * n + c];
        for (std::size_t c = 0; c < n; ++c) q[i * n + c] /= std::sqrt(square);
    }
    return q;
}

double power_of_ten(double x) {
    return cubome::exp(x * 2.302585092994045684);
}

template <class Real>
class random_quadratics final : public problem_source<Real> {
public:
    random_quadratics(const sweep_spec& spec, const sweep_point& batch)
        : spec_(spec),
          condition_(spec.find("problem.condition")),
          spread_(spec.find("problem.spread")),
          n_(static_cast<std::size_t>(spec.integer(spec.find("problem.dim"), batch))) {}

    cubome::problem<Real> problem() const override {
        return quadratic<Real>(static_cast<std::int64_t>(n_), static_cast<std::int64_t>(n_));
    }

    std::vector<std::string> arrays() const override { return {"H", "C", "b", "P", "S", "p"}; }

    void make(const sweep_point& at, const problem_place<Real>& to) const override {
        const std::size_t n = n_;
        const double spread = spec_.number(spread_, at), log_condition = cubome::log(spec_.number(condition_, at));
        draw_stream scales = spec_.draws("scales", at);
        const double s = power_of_ten(scales.uniform(-spread, spread));
        const double s_f = power_of_ten(scales.uniform(-spread, spread));
        const double s_c = s * power_of_ten(scales.uniform(-1, 1)) / std::sqrt(static_cast<double>(n));

        draw_stream directions = spec_.draws("directions", at);
        const vec q = random_orthogonal(n, directions);
        draw_stream eigenvalues = spec_.draws("eigenvalues", at);
        vec h(n * n, 0);
        for (std::size_t e = 0; e < n; ++e) {
            const double eigenvalue = s * (e == 0 ? 1 : cubome::exp(-log_condition * eigenvalues.uniform()));
            for (std::size_t i = 0; i < n; ++i)
                for (std::size_t j = 0; j < n; ++j) h[i * n + j] += eigenvalue * (q[e * n + i] * q[e * n + j]);
        }
        const auto put = [](Real* array, std::size_t i, double x) { array[i] = static_cast<Real>(x); };
        draw_stream coupling = spec_.draws("C", at), slope = spec_.draws("b", at), target = spec_.draws("target", at);
        for (std::size_t i = 0; i < n * n; ++i) {
            const bool is_diagonal = i / n == i % n;
            put(to.arrays[0], i, h[i]);
            put(to.arrays[1], i, s_c * coupling.normal());
            put(to.arrays[3], i, is_diagonal ? s_f : 0);
            put(to.arrays[4], i, is_diagonal ? outer_curvature * s_f : 0);
        }
        for (std::size_t i = 0; i < n; ++i) {
            put(to.arrays[2], i, s * slope.normal());
            put(to.arrays[5], i, -2 * s_f * target.normal());
        }
    }

    void measure(const sweep_point&, const problem_place<Real>& solved, double* to) const override {
        if (spec_.measures.empty()) return;
        const std::size_t n = n_;
        const auto copy = [&](const Real* array, std::size_t size) { return vec(array, array + size); };
        const vec h = copy(solved.arrays[0], n * n), c = copy(solved.arrays[1], n * n), b = copy(solved.arrays[2], n);
        const double s_f = static_cast<double>(solved.arrays[3][0]);
        vec target = copy(solved.arrays[5], n);
        for (double& x : target) x /= -s_f;

        const auto inner = [&](const vec& v, bool has_slope) {  // θ*(v), or what is linear of it
            vec right(n);
            for (std::size_t i = 0; i < n; ++i) {
                right[i] = has_slope ? -b[i] : 0;
                for (std::size_t j = 0; j < n; ++j) right[i] -= c[j * n + i] * v[j];
            }
            return solve_linear(h, right);
        };
        const auto value = [&](const vec& v) {
            const vec theta = inner(v, true);
            double f = 0;
            for (std::size_t i = 0; i < n; ++i)
                f += (theta[i] - target[i]) * (theta[i] - target[i]) + outer_curvature * v[i] * v[i];
            return f;
        };
        // θ*(v) = Av + a: the best v solves (AᵀA + 0.01) v = Aᵀ(t − a).
        const vec start(n, 0);
        const vec at_start = inner(start, true);
        vec a(n * n), normal(n * n, 0), right(n, 0);
        for (std::size_t j = 0; j < n; ++j) {
            vec unit(n, 0);
            unit[j] = 1;
            const vec column = inner(unit, false);
            for (std::size_t i = 0; i < n; ++i) a[i * n + j] = column[i];
        }
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j)
                for (std::size_t k = 0; k < n; ++k) normal[i * n + j] += a[k * n + i] * a[k * n + j];
            normal[i * n + i] += outer_curvature;
            for (std::size_t k = 0; k < n; ++k) right[i] += a[k * n + i] * (target[k] - at_start[k]);
        }
        const double least = value(solve_linear(normal, right)), first = value(start);
        to[0] = (value(copy(solved.outer, n)) - least) / (first - least);
    }

private:
    static constexpr double outer_curvature = 0.01;  ///< of f in v, in units of that in θ

    const sweep_spec& spec_;
    std::size_t condition_, spread_;
    std::size_t n_;
};

}  // namespace

source_rules random_quadratics_rules() {
    using kind = key_rule::kind;
    return {"random_quadratics",
            "two quadratics whose solution is known: H = S Q diag(c^-u) Q^T, f = s (|theta - t|^2 + 0.01 |v|^2) / 2",
            {{"dim", kind::integer, "8", 1, 64, {}, true, "of v and of theta"},
             {"condition", kind::number, "30", 1, 1e12, {}, false, "c: of H, at most"},
             {"spread", kind::number, "2", 0, 15, {}, false, "S and s are 10^u, u in [-spread, spread]"}},
            {"suboptimality"},
            false};
}

template <class Real>
std::unique_ptr<problem_source<Real>> make_random_quadratics(const sweep_spec& spec, const sweep_point& batch) {
    return std::make_unique<random_quadratics<Real>>(spec, batch);
}

template std::unique_ptr<problem_source<float>> make_random_quadratics(const sweep_spec&, const sweep_point&);
template std::unique_ptr<problem_source<double>> make_random_quadratics(const sweep_spec&, const sweep_point&);

}  // namespace cubome::command
