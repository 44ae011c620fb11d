// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "cubome/core/runner.hpp"
#include "lane_blocks.hpp"
#include "thread_group.hpp"

/// The laws of docs/design.md on every host model of one `precision`, which the file that includes this one names
/// first. What is expected is written here once more, without the library.
namespace thread_model {
namespace {

using cubome::extent;
using lane_blocks::generator;
using any_extent = extent<cubome::dynamic>;

constexpr index sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 1000};

/// a b + c as the target does it.
template <class Scalar>
Scalar multiply_add(Scalar a, Scalar b, Scalar c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return std::fma(a, b, c);
#else
    return a * b + c;
#endif
}

template <class Scalar>
std::uint64_t bits(Scalar x) {
    std::uint64_t result = 0;
    std::memcpy(&result, &x, sizeof x);
    return result;
}

/// Lane l folds its elements of the first range, then of the second, from +0; then each lane adds that of its partner,
/// l ⊕ 1, l ⊕ 2, l ⊕ 4 …
template <class Scalar, class Fold, class Fold2>
Scalar written_sum(index width, index n, Fold fold, index n2, Fold2 fold2) {
    std::vector<Scalar> lanes(std::size_t(width), Scalar(0));
    for (index i = 0; i < n; ++i) lanes[std::size_t(i % width)] = fold(i, lanes[std::size_t(i % width)]);
    for (index i = 0; i < n2; ++i) lanes[std::size_t(i % width)] = fold2(i, lanes[std::size_t(i % width)]);
    for (index distance = 1; distance < width; distance *= 2) {
        std::vector<Scalar> next;
        for (index l = 0; l < width; ++l) next.push_back(lanes[std::size_t(l)] + lanes[std::size_t(l ^ distance)]);
        for (index l = 0; l < width; ++l) EXPECT_EQ(bits(next[std::size_t(l)]), bits(next[std::size_t(l ^ distance)]));
        lanes = next;
    }
    return lanes[0];
}

/// Four chains: chain c takes the terms j ≡ c mod 4, upward from +0. Chains without terms are left out.
template <class Scalar, class Term>
Scalar written_row_sum(index m, Term term) {
    std::vector<Scalar> chains;
    for (index c = 0; c < 4 && (c < m || c == 0); ++c) {
        Scalar chain(0);
        for (index j = c; j < m; j += 4) chain = term(j, chain);
        chains.push_back(chain);
    }
    if (chains.size() == 1) return chains[0];
    const Scalar left = chains[0] + chains[1];
    if (chains.size() == 2) return left;
    return chains.size() == 3 ? left + chains[2] : left + (chains[2] + chains[3]);
}

/// How the tests run something on a model: once in each of its lanes.
template <class Group>
struct lanes_of {
    using type = calling_thread<Group>;
};
template <class Real, index Width>
struct lanes_of<thread_group<Real, Width>> {
    using type = lane_threads<Real, Width>;
};
template <class Group>
typename lanes_of<Group>::type& lanes() {
    static typename lanes_of<Group>::type all;
    return all;
}

template <class Group>
class GroupLaws : public testing::Test {
public:
    using number_type = cubome::scalar_of<typename Group::real>;
    using access = cubome::lane_access<Group>;
    using vector = typename Group::template own<any_extent>;
    using shared_vector = typename Group::template published<any_extent>;

    static constexpr index num_threads = lanes_of<Group>::type::num_threads;

    /// In which problem lane p stands: packs with a problem per lane have as many, all others one.
    static constexpr index num_problems = access::size;

    GroupLaws() : memory(workspace_.data()), all_problems(0, num_problems) {
        // Numbers where elements should be missed, not zeros.
        std::memset(static_cast<void*>(workspace_.data()), 0x3f, workspace_.size() * sizeof(piece));
    }

    void forget_arrays() { memory = cubome::arena(workspace_.data()); }
    void TearDown() override { ASSERT_LE(memory.used(), workspace_.size() * sizeof(piece)); }

    template <class Storage>
    Storage make(index n) {
        Storage result(memory, any_extent(n));
        all_problems.load(result, [](std::int64_t, std::int64_t) { return number_type(0); });
        return result;
    }

    /// A number_type for every problem and index that says which they are, in its low bits too.
    static number_type element(std::int64_t problem, std::int64_t i, int which = 0) {
        generator random(std::uint64_t(which) << 40 | std::uint64_t(problem) << 32 | std::uint64_t(i));
        random.bits();
        return static_cast<number_type>(random.uniform(-1, 1) * std::exp2(random.uniform(-3, 3)));
    }
    template <class Storage>
    Storage make_filled(index n, int which = 0) {
        Storage result(memory, any_extent(n));
        all_problems.load(result, [&](std::int64_t p, std::int64_t e) { return element(p, e, which); });
        return result;
    }

    static std::vector<number_type> lanes_in(typename Group::real x) {
        constexpr index count = cubome::real_traits<typename Group::real>::lanes;
        alignas(64) number_type values[count];
        cubome::store_lanes(x, values);
        return {values, values + count};
    }
    static std::vector<bool> lanes_in(const cubome::mask_of<typename Group::real>& mask) {
        constexpr index count = cubome::real_traits<typename Group::real>::lanes;
        alignas(64) bool values[count];
        cubome::store_lanes(mask, values);
        return std::vector<bool>(values, values + count);
    }

    /// Calls use(k, lane of a Real) for every index k that `i` stands for: it is one, or those of the lanes of a pack.
    template <class Use>
    static void for_lanes(index i, index, Use&& use) {
        use(i, index(0));
    }
#ifndef CUBOME_HAS_NO_SIMD
    template <class Use>
    static void for_lanes(cubome::lane_block b, index n, Use&& use) {
        for (index l = 0; l < Group::width && b.first + l < n; ++l) use(b.first + l, l);
    }
#endif

    /// The lane of the Real that holds problem p, or, where the lanes work on one problem, any.
    static number_type of_problem(typename Group::real x, index p) {
        const std::vector<number_type> values = lanes_in(x);
        if (num_problems > 1) return values[std::size_t(p)];
        for (const number_type value : values) EXPECT_EQ(bits(value), bits(values[0])) << "lanes disagree";
        return values[0];
    }

    /// Runs f in every lane and returns what each found.
    template <class Result, class F>
    static std::vector<Result> in_every_lane(F&& f) {
        struct alignas(64) slot {
            Result value;
        };
        std::vector<slot> found(num_threads);
        lanes<Group>().run([&](const Group& g) { found[std::size_t(g.rank())].value = f(g); });
        std::vector<Result> result;
        for (const slot& s : found) result.push_back(s.value);
        return result;
    }

    /// Expects what every lane found for problem p to have the bits of expected(p).
    template <class Expected>
    static void expect_bits(const std::vector<typename Group::real>& found, Expected&& expected) {
        ASSERT_EQ(index(found.size()), num_threads);
        for (const auto& of_lane : found)
            for (index p = 0; p < num_problems; ++p)
                ASSERT_EQ(bits(of_problem(of_lane, p)), bits(number_type(expected(p)))) << "problem " << p;
    }

private:
    struct alignas(cubome::workspace_alignment) piece {
        std::byte bytes[cubome::workspace_alignment];
    };
    std::vector<piece> workspace_ = std::vector<piece>(1 << 15);

public:
    cubome::arena memory;
    access all_problems;
};

using models = testing::Types<cubome::serial_group<precision, 1>, cubome::serial_group<precision, 2>,
                              cubome::serial_group<precision, 4>, cubome::serial_group<precision, 8>,
                              cubome::serial_group<precision, 16>, cubome::serial_group<precision, 32>,
                              cubome::pack_group<precision>, cubome::thread_lanes<precision>,
                              thread_group<precision, 4>, thread_group<precision, 32>>;

struct model_names {
    template <class Group>
    static std::string GetName(int) {
        using real = typename Group::real;
        const std::string kind = lanes_of<Group>::type::num_threads > 1                               ? "Threads"
                                 : std::is_same_v<Group, cubome::pack_group<cubome::scalar_of<real>>> ? "Pack"
                                 : cubome::real_traits<real>::lanes > 1                               ? "Vector"
                                                                                                      : "Serial";
        return kind + (sizeof(cubome::scalar_of<real>) == 4 ? "Float" : "Double") + std::to_string(Group::width);
    }
};

TYPED_TEST_SUITE(GroupLaws, models, model_names);

TYPED_TEST(GroupLaws, ForEachVisitsEveryIndexOnceInTheLaneThatOwnsIt) {
    for (const index n : sizes) {
        SCOPED_TRACE(n);
        std::vector<int> visits(std::size_t(n), 0), phase_visits(std::size_t(n), 0);
        lanes<TypeParam>().run([&](const TypeParam& g) {
            const auto visit = [&](auto& count) {
                return [&](auto i) {
                    TestFixture::for_lanes(i, n, [&](index k, index l) {
                        ASSERT_TRUE(k >= 0 && k < n);
                        ++count[std::size_t(k)];  // by its owner alone, or ThreadSanitizer would say so
                        EXPECT_EQ(k % TypeParam::width % g.size(), g.rank());
                        EXPECT_EQ(l == 0 || k % TypeParam::width == l, true);
                    });
                };
            };
            g.for_each(any_extent(n), visit(visits));
            g.template phase<cubome::barrier::prepared>(any_extent(n), visit(phase_visits));
        });
        EXPECT_EQ(visits, std::vector<int>(std::size_t(n), 1));
        EXPECT_EQ(phase_visits, std::vector<int>(std::size_t(n), 1));
    }
}

TYPED_TEST(GroupLaws, EveryLoopGivesAnIndexToTheSameLane) {
    for (const index n : sizes) {
        if (n == 0) continue;
        SCOPED_TRACE(n);
        // Owners read back what they wrote in another kind of loop, without a barrier.
        auto own = this->template make<typename TestFixture::vector>(n);
        using real = typename TypeParam::real;
        const auto counts = TestFixture::template in_every_lane<real>([&](const TypeParam& g) {
            const real one(1);
            const auto add_one = [&](auto i) { own[i] = real(own[i]) + one; };
            g.for_each(any_extent(n), add_one);
            g.template sum<1>(any_extent(n), [&](auto i, cubome::sums<real, 1> acc) { return add_one(i), acc; });
            g.sum_each(
                any_extent(n), any_extent(3), [&](auto, index, real sum) { return sum; },
                [&](auto i, real) { add_one(i); });
            g.maximum(any_extent(n), [&](auto i) { return real(own[i]); });
            g.all_of(any_extent(n), [&](auto i) { return real(own[i]) == real(3); });
            return g.template sum<1>(any_extent(n), [&](auto i, cubome::sums<real, 1> acc) {
                acc[0] = acc[0] + real(own[i]);
                return acc;
            })[0];
        });
        TestFixture::expect_bits(counts, [&](index) { return 3 * n; });
    }
}

TYPED_TEST(GroupLaws, ASumHasTheBitsOfTheWrittenOrderInEveryLane) {
    using real = typename TypeParam::real;
    using number = typename TestFixture::number_type;
    for (const index n : sizes) {
        SCOPED_TRACE(n);
        const auto x = this->template make_filled<typename TestFixture::vector>(n, 1);
        const auto y = this->template make_filled<typename TestFixture::vector>(n, 2);
        std::vector<real> sums_found[3];
        for (int k = 0; k < 3; ++k) sums_found[k].resize(TestFixture::num_threads);
        lanes<TypeParam>().run([&](const TypeParam& g) {
            const auto found = g.template sum<3>(any_extent(n), [&](auto i, cubome::sums<real, 3> acc) {
                acc[0] = acc[0] + real(x[i]);
                acc[1] = cubome::fma(real(x[i]), real(y[i]), acc[1]);
                acc[2] = acc[2] - real(y[i]);
                return acc;
            });
            for (int k = 0; k < 3; ++k) sums_found[k][std::size_t(g.rank())] = found[k];
        });
        const auto expected = [&](auto fold) {
            return [n, fold](index p) {
                return written_sum<number>(
                    TypeParam::width, n,
                    [&](index i, number acc) {
                        return fold(TestFixture::element(p, i, 1), TestFixture::element(p, i, 2), acc);
                    },
                    0, [](index, number acc) { return acc; });
            };
        };
        this->expect_bits(sums_found[0], expected([](number a, number, number acc) { return acc + a; }));
        this->expect_bits(sums_found[1],
                          expected([](number a, number b, number acc) { return multiply_add(a, b, acc); }));
        this->expect_bits(sums_found[2], expected([](number, number b, number acc) { return acc - b; }));
    }
}

TYPED_TEST(GroupLaws, ASumOverTwoRangesFoldsTheFirstBeforeTheSecond) {
    using real = typename TypeParam::real;
    using number = typename TestFixture::number_type;
    for (const index n : {0, 1, 4, 9, 33, 100}) {
        for (const index m : {0, 1, 5, 16, 65}) {
            SCOPED_TRACE(std::to_string(n) + " and " + std::to_string(m));
            const auto x = this->template make_filled<typename TestFixture::vector>(n, 1);
            const auto y = this->template make_filled<typename TestFixture::vector>(m, 2);
            const auto found = TestFixture::template in_every_lane<real>([&](const TypeParam& g) {
                return g.template sum<1>(
                    any_extent(n),
                    [&](auto i, cubome::sums<real, 1> acc) {
                        acc[0] = acc[0] + real(x[i]);
                        return acc;
                    },
                    any_extent(m),
                    [&](auto i, cubome::sums<real, 1> acc) {
                        acc[0] = acc[0] * real(y[i]) + real(y[i]);
                        return acc;
                    })[0];
            });
            this->expect_bits(found, [&](index p) {
                return written_sum<number>(
                    TypeParam::width, n, [&](index i, number acc) { return acc + TestFixture::element(p, i, 1); }, m,
                    [&](index i, number acc) {
                        return acc * TestFixture::element(p, i, 2) + TestFixture::element(p, i, 2);
                    });
            });
        }
    }
}

TYPED_TEST(GroupLaws, TwoSumsInARowNeedNothingBetweenThem) {
    using real = typename TypeParam::real;
    using number = typename TestFixture::number_type;
    constexpr index n = 37;
    constexpr int times = 20;
    const auto x = this->template make_filled<typename TestFixture::vector>(n, 1);
    const auto found = TestFixture::template in_every_lane<real>([&](const TypeParam& g) {
        real total(number(0));
        for (int t = 0; t < times; ++t) {  // each begins with what the one before found
            total = g.template sum<1>(any_extent(n), [&](auto i, cubome::sums<real, 1> acc) {
                acc[0] = acc[0] + (real(x[i]) - total * real(number(0.125)));
                return acc;
            })[0];
        }
        return total;
    });
    this->expect_bits(found, [&](index p) {
        number total(0);
        for (int t = 0; t < times; ++t) {
            total = written_sum<number>(
                TypeParam::width, n,
                [&](index i, number acc) { return acc + (TestFixture::element(p, i, 1) - total * number(0.125)); }, 0,
                [](index, number acc) { return acc; });
        }
        return total;
    });
}

/// Both products with a matrix, and one with rows that their lanes own.
template <class Fixture, class Group, class N, class M>
void check_sum_each(cubome::arena& memory, const typename Fixture::access& access, N n, M m) {
    using real = typename Group::real;
    using number = typename Fixture::number_type;
    SCOPED_TRACE(std::to_string(index(n)) + " sums of " + std::to_string(index(m)));
    typename Group::template own_rows<N, M> rows(memory, n, m);
    typename Group::template matrix<N, M> matrix(memory, n, m);
    typename Group::template matrix<M, N> transposed(memory, m, n);
    typename Group::template published<M> x(memory, m);
    const auto entry = [](std::int64_t p, std::int64_t i, std::int64_t j) {
        return Fixture::element(p, 1000 * i + j, 3);
    };
    const index num_columns = m, num_rows = n;
    const auto by_row = [&](std::int64_t p, std::int64_t e) { return entry(p, e / num_columns, e % num_columns); };
    access.load(rows, by_row);
    access.load(matrix, by_row);
    access.load(transposed, [&](std::int64_t p, std::int64_t e) { return entry(p, e % num_rows, e / num_rows); });
    access.load(x, [](std::int64_t p, std::int64_t e) { return Fixture::element(p, e, 1); });

    typename Group::template own<N> results[3] = {{memory, n}, {memory, n}, {memory, n}};
    lanes<Group>().run([&](const Group& g) {
        const auto multiply = [&](auto& result, auto element) {
            g.sum_each(
                n, m, [&](auto i, index j, real sum) { return cubome::fma(element(i, j), real(x[j]), sum); },
                [&](auto i, real sum) { result[i] = sum; });
        };
        multiply(results[0], [&](auto i, index j) { return real(rows.row(i, j)); });
        multiply(results[1], [&](auto i, index j) { return real(matrix.row(i, j)); });
        multiply(results[2], [&](auto i, index j) { return real(transposed.column(j, i)); });
    });
    for (const auto& result : results) {
        std::vector<number> found(std::size_t(Fixture::num_problems) * std::size_t(num_rows));
        access.store(result, found.data());
        for (index p = 0; p < Fixture::num_problems; ++p) {
            for (index i = 0; i < num_rows; ++i) {
                const number expected = written_row_sum<number>(num_columns, [&](index j, number sum) {
                    return multiply_add(entry(p, i, j), Fixture::element(p, j, 1), sum);
                });
                ASSERT_EQ(bits(found[std::size_t(p * num_rows + i)]), bits(expected)) << "row " << i;
            }
        }
    }
}

TYPED_TEST(GroupLaws, SumEachHasTheBitsOfTheWrittenChainsOnEveryModel) {
    const auto check = [&](auto n, auto m) {
        this->forget_arrays();
        check_sum_each<TestFixture, TypeParam>(this->memory, this->all_problems, n, m);
    };
    for (const index n : {1, 2, 5, 8, 17, 33, 70})
        for (const index m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 33}) check(any_extent(n), any_extent(m));
    check(extent<2>{}, extent<8>{});
    check(extent<4>{}, extent<2>{});
    check(extent<1>{}, extent<3>{});
    check(extent<16>{}, extent<16>{});
}

TYPED_TEST(GroupLaws, SumEachOfNoTermsIsZero) {
    using real = typename TypeParam::real;
    auto result = this->template make_filled<typename TestFixture::vector>(9);
    lanes<TypeParam>().run([&](const TypeParam& g) {
        g.sum_each(
            any_extent(9), any_extent(0), [](auto, index, real sum) { return sum; },
            [&](auto i, real sum) { result[i] = sum; });
    });
    std::vector<typename TestFixture::number_type> found(std::size_t(9 * TestFixture::num_problems), 1);
    this->all_problems.store(result, found.data());
    for (const auto x : found) EXPECT_EQ(bits(x), 0u);
}

TYPED_TEST(GroupLaws, TheMaximumIsTheLargestAndKeepsANaN) {
    using real = typename TypeParam::real;
    using number = typename TestFixture::number_type;
    for (const index n : sizes) {
        if (n == 0) continue;
        SCOPED_TRACE(n);
        auto x = this->template make_filled<typename TestFixture::vector>(n, 1);
        const auto maximum = [&] {
            return TestFixture::template in_every_lane<real>(
                [&](const TypeParam& g) { return g.maximum(any_extent(n), [&](auto i) { return real(x[i]); }); });
        };
        this->expect_bits(maximum(), [&](index p) {
            number largest = TestFixture::element(p, 0, 1);
            for (index i = 1; i < n; ++i) largest = std::max(largest, TestFixture::element(p, i, 1));
            return largest;
        });
        for (const index where : {index(0), index(n / 2), index(n - 1)}) {
            this->all_problems.load(x, [&](std::int64_t p, std::int64_t e) {
                return e == where ? std::numeric_limits<number>::quiet_NaN() : TestFixture::element(p, e, 1);
            });
            for (const real& found : maximum())
                for (const number value : TestFixture::lanes_in(found)) EXPECT_TRUE(std::isnan(value)) << where;
        }
        this->all_problems.load(x, [](std::int64_t, std::int64_t) { return -std::numeric_limits<number>::infinity(); });
        this->expect_bits(maximum(), [](index) { return -std::numeric_limits<number>::infinity(); });
    }
}

TYPED_TEST(GroupLaws, AllOfSeesEveryIndexAndNoPadding) {
    using real = typename TypeParam::real;
    using mask = cubome::mask_of<real>;
    using number = typename TestFixture::number_type;
    for (const index n : sizes) {
        SCOPED_TRACE(n);
        for (const index exception : {index(-1), index(0), index(n / 2), index(n - 1)}) {
            if (exception >= n) continue;
            auto x = this->template make<typename TestFixture::vector>(n);
            this->all_problems.load(x, [&](std::int64_t, std::int64_t e) { return number(e == exception ? 0 : 1); });
            const auto found = TestFixture::template in_every_lane<mask>([&](const TypeParam& g) {
                return g.all_of(any_extent(n), [&](auto i) { return real(x[i]) > real(number(0)); });
            });
            for (const mask& of_lane : found)
                for (const bool holds : TestFixture::lanes_in(of_lane)) EXPECT_EQ(holds, exception < 0);
        }
    }
}

TYPED_TEST(GroupLaws, AnIndexIsComparedAndCountedAsANumber) {
    using real = typename TypeParam::real;
    using number = typename TestFixture::number_type;
    constexpr index n = 70;
    std::vector<int> failures(TestFixture::num_threads, 0);
    lanes<TypeParam>().run([&](const TypeParam& g) {
        int& failed = failures[std::size_t(g.rank())];
        g.for_each(any_extent(n), [&](auto i) {
            const auto numbers = TestFixture::lanes_in(g.number(i));
            for (const index which : {0, 1, 4, 15, 16, 31, 33, 69, 100}) {
                const auto is = TestFixture::lanes_in(g.is(i, which));
                const auto is_below = TestFixture::lanes_in(g.is_below(i, which));
                TestFixture::for_lanes(i, n, [&](index k, index l) {
                    failed += is[std::size_t(l)] != (k == which);
                    failed += is_below[std::size_t(l)] != (k < which);
                    failed += numbers[std::size_t(l)] != number(k);
                });
            }
        });
        for (const index k : {0, 5, 1 << 20})
            for (const number value : TestFixture::lanes_in(real(g.number(k)))) failed += value != number(k);
    });
    for (const int failed : failures) EXPECT_EQ(failed, 0);
}

TYPED_TEST(GroupLaws, APublishedVectorIsReadAndWrittenAtAShiftedIndex) {
    using real = typename TypeParam::real;
    for (const index n : {1, 3, 8, 17, 40}) {
        for (const index offset : {0, 1, 4, 9, 33}) {
            SCOPED_TRACE(std::to_string(n) + " from " + std::to_string(offset));
            auto published = this->template make<typename TestFixture::shared_vector>(n + offset);
            auto written = this->template make<typename TestFixture::shared_vector>(n + offset);
            auto own = this->template make_filled<typename TestFixture::vector>(n + offset, 1);
            auto read = this->template make<typename TestFixture::vector>(n);
            auto copied = this->template make<typename TestFixture::vector>(n + offset);
            lanes<TypeParam>().run([&](const TypeParam& g) {
                g.template phase<cubome::barrier::prepared>(any_extent(n + offset),
                                                            [&](auto i) { published[i] = real(own[i]); });
                g.for_each(any_extent(n), [&](auto i) { read[i] = published.shifted(i, offset); });
                g.for_each(any_extent(n), [&](auto i) { written.set_shifted(i, offset, real(own[i])); });
                g.template sync<cubome::barrier::difference>();
                g.for_each(any_extent(n + offset), [&](auto i) { copied[i] = real(written[i]); });
            });
            const index problems = TestFixture::num_problems;
            std::vector<typename TestFixture::number_type> found(std::size_t(n * problems));
            std::vector<typename TestFixture::number_type> found_written(std::size_t((n + offset) * problems));
            this->all_problems.store(read, found.data());
            this->all_problems.store(copied, found_written.data());
            for (index p = 0; p < problems; ++p) {
                for (index i = 0; i < n; ++i) {
                    EXPECT_EQ(found[std::size_t(p * n + i)], TestFixture::element(p, i + offset, 1));
                    EXPECT_EQ(found_written[std::size_t(p * (n + offset) + i + offset)], TestFixture::element(p, i, 1));
                }
                for (index i = 0; i < offset; ++i) EXPECT_EQ(found_written[std::size_t(p * (n + offset) + i)], 0);
            }
        }
    }
}

TYPED_TEST(GroupLaws, OneLaneAndOneLaneOnlyHasRankZero) {
    const auto ranks = TestFixture::template in_every_lane<index>([](const TypeParam& g) { return g.rank(); });
    for (index l = 0; l < index(ranks.size()); ++l) EXPECT_EQ(ranks[std::size_t(l)], l);
    lanes<TypeParam>().run([&](const TypeParam& g) { EXPECT_EQ(g.size(), index(ranks.size())); });
}

}  // namespace
}  // namespace thread_model
