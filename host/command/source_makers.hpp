// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "host/command/sources.hpp"

/// The sources: rules and maker of each.
namespace cubome::command {

source_rules random_quadratics_rules();
template <class Real>
std::unique_ptr<problem_source<Real>> make_random_quadratics(const sweep_spec& spec, const sweep_point& batch);

source_rules random_coresets_rules();
template <class Real>
std::unique_ptr<problem_source<Real>> make_random_coresets(const sweep_spec& spec, const sweep_point& batch);

source_rules samples_rules();
template <class Real>
std::unique_ptr<problem_source<Real>> make_samples(const sweep_spec& spec, const sweep_point& batch, data_store& store);

source_rules arrays_rules();
template <class Real>
std::unique_ptr<problem_source<Real>> make_arrays(const sweep_spec& spec, const sweep_point& batch, data_store& store);

}  // namespace cubome::command
