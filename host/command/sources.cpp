// SPDX-License-Identifier: Apache-2.0
#include "host/command/sources.hpp"

#include <string_view>

#include "host/command/source_makers.hpp"

namespace cubome::command {

const std::vector<source_rules>& all_sources() {
    static const std::vector<source_rules> sources = {samples_rules(), arrays_rules(), random_quadratics_rules(),
                                                      random_coresets_rules()};
    return sources;
}

template <class Real>
std::unique_ptr<problem_source<Real>> make_source(const sweep_spec& spec, const sweep_point& batch, data_store& store) {
    const std::string_view name = spec.source->name;
    if (name == "samples") return make_samples<Real>(spec, batch, store);
    if (name == "arrays") return make_arrays<Real>(spec, batch, store);
    if (name == "random_quadratics") return make_random_quadratics<Real>(spec, batch);
    return make_random_coresets<Real>(spec, batch);
}

template std::unique_ptr<problem_source<float>> make_source(const sweep_spec&, const sweep_point&, data_store&);
template std::unique_ptr<problem_source<double>> make_source(const sweep_spec&, const sweep_point&, data_store&);

}  // namespace cubome::command
