// SPDX-License-Identifier: Apache-2.0
#include "cubome/families.hpp"
#include "host/command/source_makers.hpp"

namespace cubome::command {
namespace {

template <class Real>
class random_coresets final : public problem_source<Real> {
public:
    random_coresets(const sweep_spec& spec, const sweep_point& batch)
        : spec_(spec),
          scale_(spec.find("problem.scale")),
          num_points_(spec.integer(spec.find("problem.num_points"), batch)),
          dim_(spec.integer(spec.find("problem.dim"), batch)) {}

    cubome::problem<Real> problem() const override { return coreset<Real>(num_points_, dim_); }

    std::vector<std::string> arrays() const override { return {"points", "target"}; }

    void make(const sweep_point& at, const problem_place<Real>& to) const override {
        const double scale = spec_.number(scale_, at);
        draw_stream points = spec_.draws("points", at), target = spec_.draws("target", at);
        for (std::int64_t i = 0; i < num_points_ * dim_; ++i)
            to.arrays[0][i] = static_cast<Real>(scale * points.normal());
        for (std::int64_t i = 0; i < dim_; ++i) to.arrays[1][i] = static_cast<Real>(scale * target.normal());
    }

    void measure(const sweep_point&, const problem_place<Real>&, double*) const override {}

private:
    const sweep_spec& spec_;
    std::size_t scale_;
    std::int64_t num_points_, dim_;
};

}  // namespace

source_rules random_coresets_rules() {
    using kind = key_rule::kind;
    return {"random_coresets",
            "weights of random points whose mean is to be near a random target",
            {{"num_points", kind::integer, "4", 1, 1048576, {}, true, "n_v"},
             {"dim", kind::integer, "2", 1, 1048576, {}, true, "n_theta"},
             {"scale", kind::number, "1", 1e-15, 1e15, {}, false, "deviation of every coordinate"}},
            {},
            false};
}

template <class Real>
std::unique_ptr<problem_source<Real>> make_random_coresets(const sweep_spec& spec, const sweep_point& batch) {
    return std::make_unique<random_coresets<Real>>(spec, batch);
}

template std::unique_ptr<problem_source<float>> make_random_coresets(const sweep_spec&, const sweep_point&);
template std::unique_ptr<problem_source<double>> make_random_coresets(const sweep_spec&, const sweep_point&);

}  // namespace cubome::command
