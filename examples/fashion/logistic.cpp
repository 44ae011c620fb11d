// SPDX-License-Identifier: Apache-2.0
#include "logistic.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace fashion {
namespace {

/// Quadratic convergence: 8 steps are usual, 20 are what nearly unpenalised separable sets need.
constexpr int max_newton_steps = 100;
constexpr double gradient_tolerance = 1e-8;
/// A step must give this share of the decrease that its slope promises (Armijo).
constexpr double sufficient_decrease = 1e-4;
constexpr int max_halvings = 40;

constexpr std::size_t dim = num_features;

/// log(1 + exp(−margin)) without overflow.
double logistic_loss(double margin) {
    return std::max(-margin, 0.0) + std::log1p(std::exp(-std::abs(margin)));
}

struct newton_system {
    classifier gradient{};
    std::array<double, dim * dim> hessian{};  ///< row-major, its lower triangle
};

/// What is minimised: the mean loss of weighted training sets, and the penalties.
class objective {
public:
    objective(std::initializer_list<weighted_samples> sets, const penalty_vector& penalties)
        : sets_(sets), penalties_(penalties) {
        for (const weighted_samples& set : sets_) {
            for (std::size_t i = 0; i < set.data.size(); ++i) total_weight_ += set.weight(i);
        }
    }

    double value(const classifier& theta) const {
        double loss = 0;
        for (const weighted_samples& set : sets_) {
            for (std::size_t i = 0; i < set.data.size(); ++i)
                loss += set.weight(i) * logistic_loss(set.data.labels[i] * score(set.data, i, theta));
        }
        double penalty = 0;
        for (std::size_t j = 0; j < num_pixels; ++j) penalty += 0.5 * penalties_[j] * theta[j] * theta[j];
        return loss / total_weight_ + penalty;
    }

    newton_system derivatives(const classifier& theta) const {
        newton_system system;
        for (const weighted_samples& set : sets_) {
            for (std::size_t i = 0; i < set.data.size(); ++i)
                add_sample(set.data, i, set.weight(i) / total_weight_, theta, system);
        }
        for (std::size_t j = 0; j < num_pixels; ++j) {
            system.gradient[j] += penalties_[j] * theta[j];
            system.hessian[j * dim + j] += penalties_[j];
        }
        return system;
    }

private:
    static void add_sample(const samples& data, std::size_t i, double weight, const classifier& theta,
                           newton_system& system) {
        const double label = data.labels[i];
        const double wrongness = 1 / (1 + std::exp(label * score(data, i, theta)));
        const double slope = -weight * label * wrongness;
        const double curvature = weight * wrongness * (1 - wrongness);

        classifier x;
        std::ranges::copy(data.row(i), x.begin());
        for (std::size_t j = 0; j < dim; ++j) {
            system.gradient[j] += slope * x[j];
            const double scaled = curvature * x[j];
            for (std::size_t l = 0; l <= j; ++l) system.hessian[j * dim + l] += scaled * x[l];
        }
    }

    std::vector<weighted_samples> sets_;
    const penalty_vector& penalties_;
    double total_weight_ = 0;
};

/// Solves hessian · x = gradient by Cholesky's decomposition, in place: returns x.
classifier newton_direction(newton_system& system) {
    auto& l = system.hessian;
    classifier& x = system.gradient;
    for (std::size_t j = 0; j < dim; ++j) {
        for (std::size_t i = j; i < dim; ++i) {
            double sum = l[i * dim + j];
            for (std::size_t k = 0; k < j; ++k) sum -= l[i * dim + k] * l[j * dim + k];
            l[i * dim + j] = i == j ? std::sqrt(sum) : sum / l[j * dim + j];
        }
    }
    for (std::size_t i = 0; i < dim; ++i) {
        for (std::size_t k = 0; k < i; ++k) x[i] -= l[i * dim + k] * x[k];
        x[i] /= l[i * dim + i];
    }
    for (std::size_t i = dim; i-- > 0;) {
        for (std::size_t k = i + 1; k < dim; ++k) x[i] -= l[k * dim + i] * x[k];
        x[i] /= l[i * dim + i];
    }
    return x;
}

double largest_magnitude(const classifier& vector) {
    double largest = 0;
    for (const double component : vector) largest = std::max(largest, std::abs(component));
    return largest;
}

double dot(const classifier& a, const classifier& b) {
    double sum = 0;
    for (std::size_t j = 0; j < dim; ++j) sum += a[j] * b[j];
    return sum;
}

classifier moved(const classifier& theta, double step, const classifier& direction) {
    classifier result = theta;
    for (std::size_t j = 0; j < dim; ++j) result[j] -= step * direction[j];
    return result;
}

}  // namespace

penalty_vector same_penalty(double penalty) {
    penalty_vector penalties;
    penalties.fill(penalty);
    return penalties;
}

classifier train(std::initializer_list<weighted_samples> sets, const penalty_vector& penalties) {
    const objective loss(sets, penalties);
    classifier theta{};
    double value = loss.value(theta);
    for (int step = 0; step < max_newton_steps; ++step) {
        newton_system system = loss.derivatives(theta);
        if (largest_magnitude(system.gradient) < gradient_tolerance) break;
        const classifier gradient = system.gradient;
        const classifier direction = newton_direction(system);

        const double promised = dot(gradient, direction);
        double length = 1;
        classifier candidate = moved(theta, length, direction);
        double candidate_value = loss.value(candidate);
        for (int halving = 0; candidate_value > value - sufficient_decrease * length * promised; ++halving) {
            if (halving == max_halvings) return theta;  // rounding hides any further decrease
            length /= 2;
            candidate = moved(theta, length, direction);
            candidate_value = loss.value(candidate);
        }
        theta = candidate;
        value = candidate_value;
    }
    return theta;
}

double score(const samples& data, std::size_t i, const classifier& theta) {
    const auto row = data.row(i);
    double sum = 0;
    for (std::size_t j = 0; j < dim; ++j) sum += row[j] * theta[j];
    return sum;
}

double mean_loss(const samples& data, const classifier& theta) {
    double sum = 0;
    for (std::size_t i = 0; i < data.size(); ++i) sum += logistic_loss(data.labels[i] * score(data, i, theta));
    return sum / static_cast<double>(data.size());
}

double accuracy(const samples& data, const classifier& theta) {
    std::size_t right = 0;
    for (std::size_t i = 0; i < data.size(); ++i) right += data.labels[i] * score(data, i, theta) > 0 ? 1u : 0u;
    return static_cast<double>(right) / static_cast<double>(data.size());
}

}  // namespace fashion
