// SPDX-License-Identifier: Apache-2.0

#include "cubome/core/multiplier.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "cubome/core/runner.hpp"

/// λ and λ*, for scalars and for every lane of a pack.
namespace {

using cubome::barrier_form;

/// The same numbers in every lane; the lanes of the result, which must agree, as one.
template <class Real>
class Multiplier : public testing::Test {
protected:
    using number = cubome::scalar_of<Real>;
    static constexpr number nan = std::numeric_limits<number>::quiet_NaN();
    static constexpr number infinity = std::numeric_limits<number>::infinity();
    static constexpr number epsilon = number(1e-8);
    static constexpr barrier_form forms[] = {barrier_form::gradient_norm, barrier_form::value_gap};

    struct arguments_of_one {
        number eta, gap, alignment, squared_norm, epsilon;
    };

    static number common(Real x) {
        constexpr cubome::index lanes = cubome::real_traits<Real>::lanes;
        alignas(64) number values[lanes];
        cubome::store_lanes(x, values);
        for (const number value : values)
            EXPECT_TRUE(value == values[0] || (cubome::isnan(value) && cubome::isnan(values[0])));
        return values[0];
    }
    static number of(barrier_form form, const arguments_of_one& a) {
        return common(cubome::multiplier(form, Real(a.eta), Real(a.gap), Real(a.alignment), Real(a.squared_norm),
                                         Real(a.epsilon)));
    }
    static number best_of(number alignment, number squared_norm) {
        return common(cubome::best_multiplier(Real(alignment), Real(squared_norm)));
    }
};

using reals =
    testing::Types<float, double, typename cubome::pack_group<float>::real, typename cubome::pack_group<double>::real>;

struct real_names {
    template <class Real>
    static std::string GetName(int) {
        const std::string scalar = sizeof(cubome::scalar_of<Real>) == 4 ? "Float" : "Double";
        return cubome::real_traits<Real>::lanes == 1 ? scalar : scalar + "Pack";
    }
};

TYPED_TEST_SUITE(Multiplier, reals, real_names);

TYPED_TEST(Multiplier, IsWhatTheFormulaSays) {
    using scalar = typename TestFixture::number;
    // 0.5 − (−3) / (8 + 4) and (0.5 · 6 − (−3)) / (8 + 4), exact in every precision
    EXPECT_EQ(this->of(barrier_form::gradient_norm, {scalar(0.5), 6, -3, 8, 4}), scalar(0.75));
    EXPECT_EQ(this->of(barrier_form::value_gap, {scalar(0.5), 6, -3, 8, 4}), scalar(0.5));
    EXPECT_EQ(this->of(barrier_form::gradient_norm, {scalar(0.5), 6, 3, 8, 4}), scalar(0.25));
    EXPECT_EQ(this->of(barrier_form::value_gap, {scalar(0.5), 6, scalar(1.5), 8, 4}), scalar(0.125));
}

TYPED_TEST(Multiplier, IsZeroWhenTheOuterGradientAlreadyDescendsTheGap) {
    using scalar = typename TestFixture::number;
    for (const barrier_form form : this->forms) {
        EXPECT_EQ(this->of(form, {scalar(0.5), 1, 100, 4, this->epsilon}), 0);
        EXPECT_EQ(this->of(form, {scalar(0.5), 1, 1e30f, 4, this->epsilon}), 0);
    }
}

TYPED_TEST(Multiplier, IsEtaWhereTheGradientsAreOrthogonal) {
    using scalar = typename TestFixture::number;
    EXPECT_EQ(this->of(barrier_form::gradient_norm, {scalar(0.3), 1, 0, 4, this->epsilon}), scalar(0.3));
}

TYPED_TEST(Multiplier, MakesTheDirectionDescendTheGapByTheBarrier) {
    using scalar = typename TestFixture::number;
    // where λ > 0 and ε = 0: ⟨∇f + λ∇q̂, ∇q̂⟩ = φ
    const scalar eta = scalar(0.7), gap = scalar(1.25), tolerance = 8 * std::numeric_limits<scalar>::epsilon();
    for (const scalar alignment : {scalar(-5), scalar(-0.5), scalar(0), scalar(0.25)}) {
        for (const scalar norm : {scalar(0.5), scalar(2), scalar(9)}) {
            const scalar by_norm = this->of(barrier_form::gradient_norm, {eta, gap, alignment, norm, 0});
            const scalar by_gap = this->of(barrier_form::value_gap, {eta, gap, alignment, norm, 0});
            ASSERT_GE(by_norm, 0);
            ASSERT_GT(by_gap, 0);
            if (by_norm > 0) {
                EXPECT_NEAR(alignment + by_norm * norm, eta * norm, 10 * tolerance);
            }
            EXPECT_NEAR(alignment + by_gap * norm, eta * gap, 10 * tolerance);
        }
    }
}

TYPED_TEST(Multiplier, ReadsTheGapInTheFormThatIsNamedForItAlone) {
    using scalar = typename TestFixture::number;
    const typename TestFixture::arguments_of_one known{scalar(0.5), 1, -2, 4, this->epsilon};
    auto unknown = known;
    unknown.gap = this->nan;
    EXPECT_EQ(this->of(barrier_form::gradient_norm, unknown), this->of(barrier_form::gradient_norm, known));
    EXPECT_TRUE(cubome::isnan(this->of(barrier_form::value_gap, unknown)));
}

TYPED_TEST(Multiplier, NeverHidesANaN) {
    using scalar = typename TestFixture::number;
    using arguments = typename TestFixture::arguments_of_one;
    // once where λ would be positive, once where it would be cut off at 0
    for (const scalar alignment : {scalar(-2), scalar(1000)}) {
        for (scalar arguments::*which :
             {&arguments::eta, &arguments::alignment, &arguments::squared_norm, &arguments::epsilon}) {
            for (const barrier_form form : this->forms) {
                for (const scalar unknown : {this->nan, -this->nan}) {
                    arguments a{scalar(0.5), 1, alignment, 4, this->epsilon};
                    a.*which = unknown;
                    EXPECT_TRUE(cubome::isnan(this->of(form, a)));
                }
            }
        }
    }
    // ∞ / ∞ is one too
    for (const barrier_form form : this->forms)
        EXPECT_TRUE(cubome::isnan(this->of(form, {scalar(0.5), 1, -this->infinity, this->infinity, this->epsilon})));
}

TYPED_TEST(Multiplier, IsFiniteWhereTheGapHasNoGradient) {
    using scalar = typename TestFixture::number;
    EXPECT_EQ(this->of(barrier_form::gradient_norm, {scalar(0.5), 0, 0, 0, this->epsilon}), scalar(0.5));
    EXPECT_EQ(this->of(barrier_form::value_gap, {scalar(0.5), 0, 0, 0, this->epsilon}), 0);
    const scalar by_gap = this->of(barrier_form::value_gap, {scalar(0.5), scalar(0.01), 0, 0, this->epsilon});
    EXPECT_TRUE(cubome::isfinite(by_gap));
    EXPECT_NEAR(by_gap, scalar(5e5), scalar(1));
}

TYPED_TEST(Multiplier, OfANegativeGapIsStillNotNegative) {
    using scalar = typename TestFixture::number;
    for (const barrier_form form : this->forms) EXPECT_GE(this->of(form, {scalar(0.5), -7, 0, 4, this->epsilon}), 0);
    EXPECT_EQ(this->of(barrier_form::value_gap, {scalar(0.5), -7, 0, 4, this->epsilon}), 0);
}

TYPED_TEST(Multiplier, IsComputedInEveryLaneOfAPackByItself) {
    using scalar = typename TestFixture::number;
    constexpr cubome::index lanes = cubome::real_traits<TypeParam>::lanes;
    const cubome::lane_access<cubome::serial_group<TypeParam>> access(0, lanes);
    const auto value = [](std::int64_t lane) { return scalar(lane % 3 == 1 ? 9 : -1 - lane); };
    const TypeParam alignment = access.number(value);
    for (const barrier_form form : this->forms) {
        const TypeParam found = cubome::multiplier(form, TypeParam(scalar(0.5)), TypeParam(scalar(1)), alignment,
                                                   TypeParam(scalar(4)), TypeParam(scalar(0.25)));
        alignas(64) scalar values[lanes];
        cubome::store_lanes(found, values);
        for (cubome::index l = 0; l < lanes; ++l)
            EXPECT_EQ(values[l], cubome::multiplier(form, scalar(0.5), scalar(1), value(l), scalar(4), scalar(0.25)));
    }
}

TYPED_TEST(Multiplier, AtItsBestMinimisesTheNormOfTheDirection) {
    using scalar = typename TestFixture::number;
    EXPECT_EQ(this->best_of(-3, 4), scalar(0.75));
    EXPECT_EQ(this->best_of(3, 4), 0);
    EXPECT_EQ(this->best_of(0, 4), 0);
    for (const scalar alignment : {scalar(-3), scalar(-0.1), scalar(2)}) {
        const scalar norm = scalar(1.5), best = this->best_of(alignment, norm);
        const auto squared = [&](scalar lambda) { return 2 * lambda * alignment + lambda * lambda * norm; };
        for (const scalar step : {scalar(0.01), scalar(0.1), scalar(1)}) {
            EXPECT_LE(squared(best), squared(best + step));
            EXPECT_LE(squared(best), squared(cubome::max(best - step, scalar(0))));
        }
    }
}

TYPED_TEST(Multiplier, AtItsBestIsZeroWhereTheGapHasNoGradient) {
    for (const auto alignment : {-1, 0, 1}) EXPECT_EQ(this->best_of(alignment, 0), 0);
}

TYPED_TEST(Multiplier, AtItsBestNeverHidesANaN) {
    EXPECT_TRUE(cubome::isnan(this->best_of(this->nan, 4)));
    EXPECT_TRUE(cubome::isnan(this->best_of(-1, this->nan)));
    EXPECT_TRUE(cubome::isnan(this->best_of(1, this->nan)));
    EXPECT_TRUE(cubome::isnan(this->best_of(-this->infinity, this->infinity)));
}

}  // namespace
