// SPDX-License-Identifier: Apache-2.0

#include "cubome/core/mathematics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "cubome/core/pack.hpp"
#include "lane_blocks.hpp"

/// The functions that problems may use, on scalars and on every lane of packs.
namespace mathematics {
namespace {

using cubome::index;

template <class Scalar>
std::uint64_t bits(Scalar x) {
    std::uint64_t result = 0;
    std::memcpy(&result, &x, sizeof x);
    return result;
}

/// How many units in the last place a result is away from the exact one; the unit of denormal numbers is their spacing.
template <class Scalar>
double ulps(Scalar found, long double exact) {
    using limits = std::numeric_limits<Scalar>;
    if (std::isnan(exact)) return std::isnan(found) ? 0 : INFINITY;
    const Scalar rounded = static_cast<Scalar>(exact);
    if (!std::isfinite(found) || !std::isfinite(rounded)) return found == rounded ? 0 : INFINITY;
    const int exponent = exact == 0 ? limits::min_exponent : std::max(std::ilogb(exact) + 1, limits::min_exponent);
    return static_cast<double>(std::abs(found - exact) / std::ldexp(1.0L, exponent - limits::digits));
}

/// xs[first], xs[first + 1], …, as many as a Real carries; the last again and again where there are no more.
template <class Real>
Real some(const std::vector<cubome::scalar_of<Real>>& xs, std::size_t first) {
    constexpr index lanes = cubome::real_traits<Real>::lanes;
    if constexpr (lanes == 1) {
        return xs[first];
    } else {
        alignas(64) cubome::scalar_of<Real> values[lanes];
        for (index l = 0; l < lanes; ++l) values[l] = xs[std::min(first + std::size_t(l), xs.size() - 1)];
        return Real::load(values);
    }
}

template <class Real>
class Mathematics : public testing::Test {
public:
    using number_type = cubome::scalar_of<Real>;
    using limits_type = std::numeric_limits<number_type>;
    using numbers = std::vector<number_type>;
    static constexpr index num_lanes = cubome::real_traits<Real>::lanes;
    static constexpr number_type infinity = limits_type::infinity();
    static constexpr number_type not_a_number = limits_type::quiet_NaN();

    /// f of every x, as many at once as a Real carries.
    template <class F>
    static numbers of_all(numbers xs, F&& f) {
        return of_pairs(xs, xs, [&](Real x, Real) { return f(x); });
    }
    template <class F>
    static numbers of_pairs(numbers xs, numbers ys, F&& f) {
        const std::size_t count = xs.size();
        numbers result;
        for (std::size_t i = 0; i < count; i += std::size_t(num_lanes)) {
            alignas(64) number_type values[num_lanes];
            cubome::store_lanes(f(some<Real>(xs, i), some<Real>(ys, i)), values);
            for (index l = 0; l < num_lanes && i + std::size_t(l) < count; ++l) result.push_back(values[l]);
        }
        return result;
    }
    template <class F>
    static number_type of(number_type x, F&& f) {
        return of_all({x}, f)[0];
    }
    template <class F>
    static number_type of(number_type x, number_type y, F&& f) {
        return of_pairs({x}, {y}, f)[0];
    }
    /// A mask's num_lanes as 0 and 1.
    static Real as_numbers(const cubome::mask_of<Real>& mask) {
        return cubome::select(mask, Real(number_type(1)), Real(number_type(0)));
    }

    /// Every kind of number_type: all exponents, and densely where functions change.
    static const numbers& samples() {
        static const numbers all = [] {
            lane_blocks::generator random(sizeof(number_type));
            numbers result;
            for (int i = 0; i < 60'000; ++i) {
                number_type x;
                const std::uint64_t pattern = random.bits();
                std::memcpy(&x, &pattern, sizeof x);
                if (std::isfinite(x)) result.push_back(x);
                const double edge = sizeof(number_type) == 4 ? 105 : 750;
                result.push_back(static_cast<number_type>(random.uniform(-edge, edge)));
                result.push_back(static_cast<number_type>(random.uniform(-3, 3)));
                result.push_back(
                    static_cast<number_type>(1 + random.uniform(-1, 1) * std::exp2(random.uniform(-30, 0))));
                result.push_back(static_cast<number_type>(random.uniform(-1, 1) * std::exp2(random.uniform(-60, 0))));
            }
            return result;
        }();
        return all;
    }

    /// Expects an error of at most `limit` ulp at every sample for which `is_meant` holds.
    template <class F, class Exact, class Meant>
    static void expect_accuracy(double limit, F&& f, Exact&& exact, Meant&& is_meant) {
        const numbers& xs = samples();
        const numbers found = of_all(xs, f);
        double worst = 0;
        number_type where = 0;
        for (std::size_t i = 0; i < xs.size(); ++i) {
            const auto x = static_cast<long double>(xs[i]);
            if (!is_meant(x)) continue;
            const double error = ulps(found[i], exact(x));
            if (error > worst) {
                worst = error;
                where = xs[i];
            }
        }
        EXPECT_LE(worst, limit) << "at " << where;
        testing::Test::RecordProperty("worst_ulp", std::to_string(worst));
    }

    static void expect_nan(number_type x) { EXPECT_TRUE(std::isnan(x)) << x; }
    static void expect_bits(number_type found, number_type expected) {
        EXPECT_EQ(bits(found), bits(expected)) << found;
    }
};

#ifdef CUBOME_HAS_NO_SIMD
using reals = testing::Types<float, double>;
#else
template <class Scalar>
using one_vector = cubome::simd<Scalar>;
template <class Scalar>
using two_vectors = cubome::wide<one_vector<Scalar>>;
using reals = testing::Types<float, double, one_vector<float>, one_vector<double>, two_vectors<float>,
                             two_vectors<double>, cubome::wide<two_vectors<float>>>;
#endif

struct real_names {
    template <class Real>
    static std::string GetName(int) {
        constexpr index lanes = cubome::real_traits<Real>::lanes;
        const std::string scalar = sizeof(cubome::scalar_of<Real>) == 4 ? "Float" : "Double";
        return lanes == 1 ? scalar : scalar + "x" + std::to_string(lanes);
    }
};

TYPED_TEST_SUITE(Mathematics, reals, real_names);

// Each function once for every Real.
constexpr auto exp_of = [](auto x) { return cubome::exp(x); };
constexpr auto log_of = [](auto x) { return cubome::log(x); };
constexpr auto log1p_of = [](auto x) { return cubome::log1p(x); };
constexpr auto sigmoid_of = [](auto x) { return cubome::sigmoid(x); };
constexpr auto softplus_of = [](auto x) { return cubome::softplus(x); };
constexpr auto min_of = [](auto x, auto y) { return cubome::min(x, y); };
constexpr auto max_of = [](auto x, auto y) { return cubome::max(x, y); };

long double exact_softplus(long double x) {
    return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}
long double exact_sigmoid(long double x) {
    return x > 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

TYPED_TEST(Mathematics, ExpIsWithinTwoUlp) {
    this->expect_accuracy(
        2, exp_of, [](long double x) { return std::exp(x); }, [](long double) { return true; });
}

TYPED_TEST(Mathematics, LogIsWithinTwoUlp) {
    this->expect_accuracy(
        2, log_of, [](long double x) { return std::log(x); }, [](long double) { return true; });
}

TYPED_TEST(Mathematics, Log1pIsWithinThreeUlp) {
    this->expect_accuracy(
        3, log1p_of, [](long double x) { return std::log1p(x); }, [](long double) { return true; });
}

TYPED_TEST(Mathematics, SigmoidIsWithinThreeUlpWhereItIsANormalNumber) {
    this->expect_accuracy(3, sigmoid_of, exact_sigmoid, [](long double x) {
        return exact_sigmoid(x) >= static_cast<long double>(TestFixture::limits_type::min());
    });
}

TYPED_TEST(Mathematics, SoftplusIsWithinThreeUlp) {
    this->expect_accuracy(3, softplus_of, exact_softplus, [](long double) { return true; });
}

TYPED_TEST(Mathematics, SinAndCosAreAccurateForModerateArguments) {
    const auto is_moderate = [](long double x) { return std::abs(x) <= 10'000; };
    this->expect_accuracy(
        2.5, [](auto x) { return cubome::sin(x); }, [](long double x) { return std::sin(x); }, is_moderate);
    this->expect_accuracy(
        2.5, [](auto x) { return cubome::cos(x); }, [](long double x) { return std::cos(x); }, is_moderate);
}

TYPED_TEST(Mathematics, AProblemGetsTheSameBitsInALaneAsAlone) {
    using number = typename TestFixture::number_type;
    typename TestFixture::numbers xs = TestFixture::samples();
    for (const number x :
         {number(0), -number(0), TestFixture::infinity, -TestFixture::infinity, TestFixture::not_a_number,
          TestFixture::limits_type::denorm_min(), TestFixture::limits_type::max()})
        xs.push_back(x);
    const auto compare = [&](const char* name, auto f) {
        SCOPED_TRACE(name);
        const auto found = this->of_all(xs, f);
        for (std::size_t i = 0; i < xs.size(); ++i) {
            const number alone = f(xs[i]);
            if (std::isnan(alone) && std::isnan(found[i])) continue;
            ASSERT_EQ(bits(found[i]), bits(alone)) << "at " << xs[i];
        }
    };
    compare("exp", exp_of);
    compare("log", log_of);
    compare("log1p", log1p_of);
    compare("sigmoid", sigmoid_of);
    compare("softplus", softplus_of);
    compare("sqrt", [](auto x) { return cubome::sqrt(x); });
    compare("abs", [](auto x) { return cubome::abs(x); });
    compare("minus", [](auto x) { return -x; });
}

TYPED_TEST(Mathematics, ExpKnowsItsEdges) {
    using number = typename TestFixture::number_type;
    const auto exp = [this](number x) { return this->of(x, exp_of); };
    this->expect_bits(exp(0), 1);
    this->expect_bits(exp(-number(0)), 1);
    this->expect_bits(exp(TestFixture::limits_type::denorm_min()), 1);
    this->expect_bits(exp(TestFixture::infinity), TestFixture::infinity);
    this->expect_bits(exp(-TestFixture::infinity), 0);
    this->expect_bits(exp(TestFixture::limits_type::max()), TestFixture::infinity);
    this->expect_bits(exp(TestFixture::limits_type::lowest()), 0);
    this->expect_nan(exp(TestFixture::not_a_number));
    this->expect_nan(exp(-TestFixture::not_a_number));
    const bool is_float = sizeof(number) == 4;
    // ln of the largest number, and the next one up
    const number last_finite = static_cast<number>(is_float ? 0x1.62e42ep+6 : 0x1.62e42fefa39efp+9);
    EXPECT_TRUE(std::isfinite(exp(last_finite)));
    this->expect_bits(exp(std::nextafter(last_finite, TestFixture::infinity)), TestFixture::infinity);
    // ln of the smallest, and of a quarter of it
    const number tiny = TestFixture::limits_type::denorm_min();
    this->expect_bits(exp(static_cast<number>(is_float ? -103.2 : -744.4)), tiny);
    this->expect_bits(exp(static_cast<number>(is_float ? -104.7 : -745.9)), 0);
    EXPECT_LT(exp(static_cast<number>(is_float ? -90 : -720)), TestFixture::limits_type::min());
}

TYPED_TEST(Mathematics, LogKnowsItsEdges) {
    using number = typename TestFixture::number_type;
    const auto log = [this](number x) { return this->of(x, log_of); };
    this->expect_bits(log(1), 0);
    this->expect_bits(log(0), -TestFixture::infinity);
    this->expect_bits(log(-number(0)), -TestFixture::infinity);
    this->expect_bits(log(TestFixture::infinity), TestFixture::infinity);
    for (const number x : {-TestFixture::limits_type::denorm_min(), number(-1), -TestFixture::infinity,
                           TestFixture::not_a_number, -TestFixture::not_a_number})
        this->expect_nan(log(x));
    for (const number x :
         {TestFixture::limits_type::denorm_min(), TestFixture::limits_type::min(), TestFixture::limits_type::max()})
        EXPECT_LE(ulps(log(x), std::log(static_cast<long double>(x))), 2);
}

TYPED_TEST(Mathematics, Log1pKnowsItsEdges) {
    using number = typename TestFixture::number_type;
    const auto log1p = [this](number x) { return this->of(x, log1p_of); };
    EXPECT_EQ(log1p(0), 0);
    EXPECT_EQ(log1p(-number(0)), 0);
    this->expect_bits(log1p(-1), -TestFixture::infinity);
    this->expect_bits(log1p(TestFixture::infinity), TestFixture::infinity);
    for (const number x : {number(-1.5), -TestFixture::infinity, TestFixture::not_a_number, -TestFixture::not_a_number})
        this->expect_nan(log1p(x));
    for (const number x : {TestFixture::limits_type::denorm_min(), -TestFixture::limits_type::min()})
        this->expect_bits(log1p(x), x);
}

TYPED_TEST(Mathematics, SigmoidAndSoftplusKnowTheirEdges) {
    using number = typename TestFixture::number_type;
    const auto sigmoid = [this](number x) { return this->of(x, sigmoid_of); };
    const auto softplus = [this](number x) { return this->of(x, softplus_of); };
    for (const number x : {TestFixture::infinity, TestFixture::limits_type::max(), number(1000)}) {
        this->expect_bits(sigmoid(x), 1);
        this->expect_bits(sigmoid(-x), 0);
        this->expect_bits(softplus(x), x);
        this->expect_bits(softplus(-x), 0);
    }
    for (const number zero : {number(0), -number(0)}) {
        this->expect_bits(sigmoid(zero), number(0.5));
        EXPECT_LE(ulps(softplus(zero), std::log(2.0L)), 1);
    }
    for (const number nan : {TestFixture::not_a_number, -TestFixture::not_a_number}) {
        this->expect_nan(sigmoid(nan));
        this->expect_nan(softplus(nan));
    }
}

TYPED_TEST(Mathematics, MinAndMaxKeepANaNInEitherArgument) {
    using number = typename TestFixture::number_type;
    const number values[] = {
        0, 1, -2, TestFixture::infinity, -TestFixture::infinity, TestFixture::limits_type::denorm_min()};
    for (const number x : values) {
        for (const number nan : {TestFixture::not_a_number, -TestFixture::not_a_number}) {
            this->expect_nan(this->of(x, nan, min_of));
            this->expect_nan(this->of(nan, x, min_of));
            this->expect_nan(this->of(x, nan, max_of));
            this->expect_nan(this->of(nan, x, max_of));
        }
        for (const number y : values) {
            EXPECT_EQ(this->of(x, y, min_of), std::min(x, y));
            EXPECT_EQ(this->of(x, y, max_of), std::max(x, y));
        }
    }
    this->expect_nan(this->of(TestFixture::not_a_number, TestFixture::not_a_number, min_of));
}

TYPED_TEST(Mathematics, ComparisonsWithANaNAreFalseButUnequalIsNotEqual) {
    using number = typename TestFixture::number_type;
    const auto count = [this](number x, number y) {
        return this->of(x, y, [](TypeParam a, TypeParam b) {
            return TestFixture::as_numbers(a < b) + TestFixture::as_numbers(a <= b) + TestFixture::as_numbers(a > b) +
                   TestFixture::as_numbers(a >= b) + TestFixture::as_numbers(a == b);
        });
    };
    EXPECT_EQ(count(1, 2), 2);
    EXPECT_EQ(count(2, 1), 2);
    EXPECT_EQ(count(1, 1), 3);
    for (const number y : {number(1), TestFixture::infinity, TestFixture::not_a_number}) {
        EXPECT_EQ(count(TestFixture::not_a_number, y), 0);
        EXPECT_EQ(count(y, TestFixture::not_a_number), 0);
    }
}

TYPED_TEST(Mathematics, IsfiniteAndIsnanKnowEveryKindOfNumber) {
    using number = typename TestFixture::number_type;
    using limits = typename TestFixture::limits_type;
    const auto isfinite = [this](number x) {
        return this->of(x, [](TypeParam y) { return TestFixture::as_numbers(cubome::isfinite(y)); }) != 0;
    };
    const auto isnan = [this](number x) {
        return this->of(x, [](TypeParam y) { return TestFixture::as_numbers(cubome::isnan(y)); }) != 0;
    };
    for (const number x : {number(0), number(1), limits::denorm_min(), limits::min(), limits::max()}) {
        for (const number signed_x : {x, -x}) {
            EXPECT_TRUE(isfinite(signed_x)) << signed_x;
            EXPECT_FALSE(isnan(signed_x)) << signed_x;
        }
    }
    for (const number x : {TestFixture::infinity, -TestFixture::infinity}) {
        EXPECT_FALSE(isfinite(x));
        EXPECT_FALSE(isnan(x));
    }
    for (const number x : {TestFixture::not_a_number, -TestFixture::not_a_number, limits::signaling_NaN()}) {
        EXPECT_FALSE(isfinite(x));
        EXPECT_TRUE(isnan(x));
    }
}

TYPED_TEST(Mathematics, SelectTakesEachLaneFromItsOwnSide) {
    using number = typename TestFixture::number_type;
    constexpr index lanes = TestFixture::num_lanes;
    for (index chosen = -1; chosen < lanes; ++chosen) {
        typename TestFixture::numbers keys;
        for (index l = 0; l < lanes; ++l) keys.push_back(number(l == chosen));
        const auto found = this->of_all(keys, [](TypeParam key) {
            // a NaN on the side that is not taken leaves no trace
            return cubome::select(key == TypeParam(number(1)), TypeParam(number(7)),
                                  cubome::select(key == TypeParam(number(1)), TypeParam(TestFixture::not_a_number),
                                                 TypeParam(number(-7))));
        });
        for (index l = 0; l < lanes; ++l) EXPECT_EQ(found[std::size_t(l)], l == chosen ? 7 : -7);
    }
}

TYPED_TEST(Mathematics, AnyAndAllSeeEveryLane) {
    using number = typename TestFixture::number_type;
    constexpr index lanes = TestFixture::num_lanes;
    const auto mask = [](index chosen) {
        typename TestFixture::numbers keys;
        for (index l = 0; l < lanes; ++l) keys.push_back(number(l == chosen));
        return some<TypeParam>(keys, 0) == TypeParam(number(1));
    };
    EXPECT_FALSE(cubome::any(mask(-1)));
    EXPECT_TRUE(cubome::all(!mask(-1)));
    for (index chosen = 0; chosen < lanes; ++chosen) {
        EXPECT_TRUE(cubome::any(mask(chosen)));
        EXPECT_FALSE(cubome::all(!mask(chosen)));
        EXPECT_EQ(cubome::all(mask(chosen)), lanes == 1);
        EXPECT_TRUE(cubome::all(mask(chosen) | !mask(chosen)));
        EXPECT_FALSE(cubome::any(mask(chosen) & !mask(chosen)));
        alignas(64) bool stored[lanes];
        cubome::store_lanes(mask(chosen), stored);
        for (index l = 0; l < lanes; ++l) EXPECT_EQ(stored[l], l == chosen);
    }
}

TYPED_TEST(Mathematics, FmaRoundsOnceWhereTheTargetCan) {
    using number = typename TestFixture::number_type;
    const number epsilon = TestFixture::limits_type::epsilon();
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    const number expected = -epsilon * epsilon;
#else
    const number expected = 0;
#endif
    // (1 + ε)(1 − ε) − 1 = −ε², of which a product that is rounded first leaves nothing
    const number found = this->of(1 + epsilon, 1 - epsilon,
                                  [](TypeParam a, TypeParam b) { return cubome::fma(a, b, TypeParam(number(-1))); });
    this->expect_bits(found, expected);
}

TYPED_TEST(Mathematics, MultiplyAndAddAreNotFusedUnasked) {
    using number = typename TestFixture::number_type;
    const number epsilon = TestFixture::limits_type::epsilon();
    const number found =
        this->of(1 + epsilon, 1 - epsilon, [](TypeParam a, TypeParam b) { return a * b + TypeParam(number(-1)); });
    EXPECT_EQ(found, 0);
}

TYPED_TEST(Mathematics, SqrtIsExactAndRefusesNegativeNumbers) {
    using number = typename TestFixture::number_type;
    const auto sqrt = [this](number x) { return this->of(x, [](TypeParam y) { return cubome::sqrt(y); }); };
    this->expect_bits(sqrt(2), std::sqrt(number(2)));
    this->expect_bits(sqrt(0), 0);
    this->expect_bits(sqrt(-number(0)), -number(0));
    this->expect_bits(sqrt(TestFixture::infinity), TestFixture::infinity);
    this->expect_nan(sqrt(-1));
}

}  // namespace
}  // namespace mathematics
