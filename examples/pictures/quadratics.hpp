// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "cubome/cubome.hpp"

/// Random bilevel problems whose solution is known: two quadratics.
namespace quadratics {

/// The same numbers everywhere: the standard distributions differ between libraries.
class generator {
public:
    explicit generator(std::uint64_t seed) : engine_(seed) {}

    double uniform(double low = 0, double high = 1) {
        return low + (high - low) * static_cast<double>(engine_() >> 11) * 0x1p-53;
    }
    double normal() {
        const double radius = std::sqrt(-2 * std::log(1 - uniform()));
        return radius * std::cos(2 * 3.14159265358979323846 * uniform());
    }

private:
    std::mt19937_64 engine_;
};

using vec = std::vector<double>;

/// Solves Ax = b; A [n, n] row-major.
inline vec solve_linear(vec a, vec b) {
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

/// H = S Q diag(30^(−u)) Qᵀ, C = S 10^U(−1,1) N/√n, b = S N, f = s (½‖θ − t‖² + 0.005‖v‖²), t = 2N; start 0.
class random_quadratics {
public:
    static constexpr std::size_t n = 8;

    /// @param most f and g are multiplied by numbers from [1/most, most], log-uniform
    random_quadratics(std::size_t count, double most, std::uint64_t seed)
        : random_quadratics(count, 1 / most, most, seed) {}

    /// @param low, high the same from [low, high]
    random_quadratics(std::size_t count, double low, double high, std::uint64_t seed) : count_(count) {
        generator random(seed);
        for (std::size_t k = 0; k < count; ++k) {
            const double s = low * std::pow(high / low, random.uniform());
            const double s_f = low * std::pow(high / low, random.uniform());
            const vec q = orthogonal(random);
            vec h(n * n, 0), c(n * n), b(n), t(n);
            for (std::size_t e = 0; e < n; ++e) {
                const double eigenvalue = s * (e == 0 ? 1 : std::pow(30, -random.uniform()));
                for (std::size_t i = 0; i < n; ++i)
                    for (std::size_t j = 0; j < n; ++j) h[i * n + j] += eigenvalue * q[e * n + i] * q[e * n + j];
            }
            const double s_c = s * std::pow(10, random.uniform(-1, 1)) / std::sqrt(n);
            for (double& x : c) x = s_c * random.normal();
            for (double& x : b) x = s * random.normal();
            for (double& x : t) x = 2 * random.normal();
            append(H, h), append(C, c), append(B, b), append(T, t);
            scale.push_back(s_f);
        }
    }

    std::int64_t size() const { return static_cast<std::int64_t>(count_); }

    /// (F(v) − F*) / (F(v₀) − F*), F(v) = f(v, θ*(v)), v₀ = 0, of problem k.
    double suboptimality(std::size_t k, const vec& v) const {
        const double least = value(k, best(k)), first = value(k, vec(n, 0));
        return (value(k, v) - least) / (first - least);
    }

    /// θ*(v) = −H⁻¹(Cᵀv + b)
    vec inner(std::size_t k, const vec& v) const {
        vec right = part(B, k, n);
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = 0; j < n; ++j) right[i] += C[(k * n + j) * n + i] * v[j];
        for (double& x : right) x = -x;
        return solve_linear(part(H, k, n * n), right);
    }

    /// The batch in a precision: what a problem refers to.
    template <class Real>
    class batch {
    public:
        explicit batch(const random_quadratics& from) : size_(from.size()) {
            const auto round = [](const vec& x) { return std::vector<Real>(x.begin(), x.end()); };
            H_ = round(from.H), C_ = round(from.C), b_ = round(from.B);
            const std::size_t count = from.count_;
            p_.assign(count * n, 0), P_.assign(count * n * n, 0), S_.assign(count * n * n, 0);
            for (std::size_t k = 0; k < count; ++k) {
                for (std::size_t i = 0; i < n; ++i) {
                    p_[k * n + i] = static_cast<Real>(-from.scale[k] * from.T[k * n + i]);
                    P_[(k * n + i) * n + i] = static_cast<Real>(from.scale[k]);
                    S_[(k * n + i) * n + i] = static_cast<Real>(0.01 * from.scale[k]);
                }
            }
        }

        cubome::problem<Real> problem() const {
            constexpr auto dim = static_cast<std::int64_t>(n);
            auto result = cubome::quadratic<Real>(dim, dim);
            result.bind("H", cubome::per_problem(H_.data(), size_, dim, dim));
            result.bind("C", cubome::per_problem(C_.data(), size_, dim, dim));
            result.bind("b", cubome::per_problem(b_.data(), size_, dim));
            result.bind("P", cubome::per_problem(P_.data(), size_, dim, dim));
            result.bind("S", cubome::per_problem(S_.data(), size_, dim, dim));
            result.bind("p", cubome::per_problem(p_.data(), size_, dim));
            return result;
        }

    private:
        std::int64_t size_;
        std::vector<Real> H_, C_, b_, p_, P_, S_;
    };

private:
    static vec orthogonal(generator& random) {
        vec q(n * n);
        for (double& x : q) x = random.normal();
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < i; ++j) {
                double dot = 0;
                for (std::size_t c = 0; c < n; ++c) dot += q[i * n + c] * q[j * n + c];
                for (std::size_t c = 0; c < n; ++c) q[i * n + c] -= dot * q[j * n + c];
            }
            double square = 0;
            for (std::size_t c = 0; c < n; ++c) square += q[i * n + c] * q[i * n + c];
            for (std::size_t c = 0; c < n; ++c) q[i * n + c] /= std::sqrt(square);
        }
        return q;
    }
    static void append(vec& to, const vec& from) { to.insert(to.end(), from.begin(), from.end()); }
    static vec part(const vec& all, std::size_t k, std::size_t size) {
        const auto first = all.begin() + static_cast<std::ptrdiff_t>(k * size);
        return {first, first + static_cast<std::ptrdiff_t>(size)};
    }

    double value(std::size_t k, const vec& v) const {
        const vec theta = inner(k, v);
        double sum = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const double offset = theta[i] - T[k * n + i];
            sum += 0.5 * offset * offset + 0.005 * v[i] * v[i];
        }
        return scale[k] * sum;
    }
    /// The v of least value: of (MᵀM + 0.01 I) v = Mᵀ(t − θ*(0)), M = ∂θ*/∂v.
    vec best(std::size_t k) const {
        const vec at_zero = inner(k, vec(n, 0));
        vec m(n * n);
        for (std::size_t j = 0; j < n; ++j) {
            vec unit(n, 0);
            unit[j] = 1;
            const vec moved = inner(k, unit);
            for (std::size_t i = 0; i < n; ++i) m[i * n + j] = moved[i] - at_zero[i];
        }
        vec a(n * n, 0), right(n, 0);
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j)
                for (std::size_t l = 0; l < n; ++l) a[i * n + j] += m[l * n + i] * m[l * n + j];
            a[i * n + i] += 0.01;
            for (std::size_t l = 0; l < n; ++l) right[i] += m[l * n + i] * (T[k * n + l] - at_zero[l]);
        }
        return solve_linear(a, right);
    }

    std::size_t count_;
    vec H, C, B, T, scale;
};

}  // namespace quadratics
