// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "cuda_subjects.hpp"
#include "host/staged/softmax/softmax_device.hpp"
#include "host/staged/staged_kernels.hpp"
#include "kernels/softmax.cuh"

/// What softmax_oracle needs of a device, on the model: its kernels, and a cuBLAS that multiplies as one would by hand,
/// in the order of the samples and features, when somebody waits for the stream.
namespace simt_softmax {

using cubome::detail::blas_calls;
using cubome::detail::matrix_product;
using cubome::detail::product_arithmetic;

class blas_model {
public:
    explicit blas_model(simt_runtime::device& device) : device_(device) {}
    blas_model(const blas_model&) = delete;
    blas_model& operator=(const blas_model&) = delete;

    std::map<std::string, std::int64_t> num_calls;  ///< by cuBLAS's names
    std::int64_t failing_call = 0;                  ///< from 1, of those that can fail; 0: none
    int status = 0;                                 ///< that it returns
    std::int64_t num_counted = 0, num_failed = 0;
    std::int64_t num_failed_releases = 0;  ///< of handles, which stay alive
    std::vector<matrix_product> products;  ///< as they were asked for

    /// A handle of the user's own, which is set to what does not suit the library.
    cublasContext* make_handle() {
        handles_.push_back({});
        return as_handle(handles_.back());
    }
    /// Whether nothing of the library's is left in a handle.
    bool is_left_alone(cublasContext* of) { return find(of).stream == nullptr && find(of).workspace == nullptr; }
    std::int64_t num_alive() const {
        std::int64_t result = 0;
        for (const handle& h : handles_) result += h.is_alive;
        return result;
    }

    /// What the library is given; it refers to this object.
    blas_calls calls();

private:
    struct handle {
        bool is_alive = true;
        CUstream_st* stream = nullptr;
        void* workspace = nullptr;
        bool has_pointer_mode = false, has_math_mode = false;
        int device = -1;
    };
    static cublasContext* as_handle(handle& h) { return reinterpret_cast<cublasContext*>(&h); }
    handle& find(cublasContext* wanted) {
        for (handle& h : handles_)
            if (as_handle(h) == wanted && h.is_alive) return h;
        ADD_FAILURE() << "no such handle";
        return handles_.front();
    }

    /// An element of a factor as the arithmetic sees it.
    static float element(const matrix_product& p, const void* of, std::int64_t at) {
        std::uint32_t word;
        if (p.arithmetic == product_arithmetic::bfloat16) {
            word = std::uint32_t(static_cast<const std::uint16_t*>(of)[at]) << 16;
        } else {
            std::memcpy(&word, static_cast<const float*>(of) + at, sizeof word);
            if (p.arithmetic == product_arithmetic::tf32) word = (word + 0x1000) & ~0x1fffU;
        }
        float x;
        std::memcpy(&x, &word, sizeof x);
        return x;
    }
    static void multiply(const matrix_product& p) {
        for (std::int64_t j = 0; j < p.n; ++j) {
            for (std::int64_t i = 0; i < p.m; ++i) {
                float sum = 0;
                for (std::int64_t k = 0; k < p.k; ++k)
                    sum += element(p, p.a, p.is_a_transposed ? i * p.lda + k : k * p.lda + i) *
                           element(p, p.b, j * p.ldb + k);
                float& c = p.c[j * p.ldc + i];
                c = p.is_added ? c + sum : sum;
            }
        }
    }
    void expect_there(const matrix_product& p) const {
        const auto bytes = [&](std::int64_t columns, std::int64_t ld, std::int64_t rows, std::size_t each) {
            return static_cast<std::size_t>((columns - 1) * ld + rows) * each;
        };
        const std::size_t each = p.arithmetic == product_arithmetic::bfloat16 ? 2 : sizeof(float);
        const std::int64_t a_rows = p.is_a_transposed ? p.k : p.m, a_columns = p.is_a_transposed ? p.m : p.k;
        EXPECT_GE(p.lda, a_rows);
        EXPECT_GE(p.ldb, p.k);
        EXPECT_GE(p.ldc, p.m);
        EXPECT_TRUE(device_.is_device(p.a, bytes(a_columns, p.lda, a_rows, each)));
        EXPECT_TRUE(device_.is_device(p.b, bytes(p.n, p.ldb, p.k, each)));
        EXPECT_TRUE(device_.is_device(p.c, bytes(p.n, p.ldc, p.m, sizeof(float))));
        // What tensor cores want.
        for (const std::int64_t ld : {p.lda, p.ldb, p.ldc}) EXPECT_EQ(ld % 8, 0);
    }

    simt_runtime::device& device_;
    std::deque<handle> handles_;
};

inline blas_calls blas_model::calls() {
    blas_calls c;
    c.create.function = [this](cublasContext** made) {
        *made = make_handle();
        find(*made).device = device_.current();
        return 0;
    };
    c.destroy.function = [this](cublasContext* h) {
        find(h).is_alive = false;
        return 0;
    };
    c.set_stream.function = [this](cublasContext* h, CUstream_st* stream) {
        handle& of = find(h);
        of.stream = stream;
        of.workspace = nullptr;
        // So that whoever sets the one says the others, too.
        of.has_pointer_mode = of.has_math_mode = false;
        return 0;
    };
    c.set_workspace.function = [this](cublasContext* h, void* memory, std::size_t bytes) {
        EXPECT_TRUE(device_.is_device(memory, bytes));
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 256, 0u);
        find(h).workspace = memory;
        return 0;
    };
    c.set_pointer_mode.function = [this](cublasContext* h) { return find(h).has_pointer_mode = true, 0; };
    c.set_math_mode.function = [this](cublasContext* h) { return find(h).has_math_mode = true, 0; };
    c.multiply.function = [this](cublasContext* of, const matrix_product* p) {
        handle& h = find(of);
        EXPECT_NE(h.workspace, nullptr) << "cuBLAS would take memory of its own";
        EXPECT_TRUE(h.has_pointer_mode && h.has_math_mode);
        EXPECT_TRUE(h.device < 0 || h.device == device_.current());
        expect_there(*p);
        products.push_back(*p);
        device_.enqueue(h.stream, [copy = *p] { multiply(copy); }, {p->a, p->b, p->c, h.workspace});
        return 0;
    };
    c.status_name = [](int) { return "CUBLAS_STATUS_OF_THE_MODEL"; };

    c.for_each([this]<class... P>(cubome::detail::cuda_call<P...>& call) {
        const std::string name = call.name;
        call.function = [this, name, inner = std::move(call.function)](P... arguments) {
            ++num_calls[name];
            if (failing_call == 0 || ++num_counted != failing_call) return inner(arguments...);
            ++num_failed;
            num_failed_releases += name == "cublasDestroy";
            return status;
        };
    });
    return c;
}

inline std::vector<const void*> addresses(const cubome::detail::softmax_rows_arguments& a) {
    return {a.floats, a.bytes, a.to.whole, a.to.high, a.to.low};
}
inline std::vector<const void*> addresses(const cubome::detail::softmax_pass_arguments& a) {
    return {a.scores, a.to.whole, a.to.high, a.to.low, a.labels, a.outer, a.losses, a.of_outer, a.partial};
}
inline std::vector<const void*> addresses(const cubome::detail::softmax_collect_arguments& a) {
    return {a.products, a.rho, a.inner, a.to};
}
inline std::vector<const void*> addresses(const cubome::detail::softmax_penalties_arguments& a) {
    return {a.outer, a.given, a.rho};
}
inline std::vector<const void*> addresses(const cubome::detail::softmax_penalty_gap_arguments& a) {
    return {a.rho, a.inner, a.descent, a.of_outer, a.partial};
}
inline std::vector<const void*> addresses(const cubome::detail::softmax_totals_arguments& a) {
    return {a.partial, a.first, a.second};
}

/// The model's runtime, kernels and cuBLAS, in place of the linked ones as long as the scope.
struct with_softmax : cuda_subjects::with_device {
    explicit with_softmax(cubome::detail::softmax_limits limits = {}) : blas(model), library(blas.calls()) {
        limits.blas_bytes = 1024;  // which the model does not use, and fills with garbage
        using namespace cubome::detail;
        const softmax_device_kernels& k = *cubome::softmax_device::kernels<64>();
        model.add<softmax_rows_arguments>(k.rows, &addresses);
        for (const void* kernel : {k.residuals, k.losses, k.gap}) model.add<softmax_pass_arguments>(kernel, &addresses);
        model.add<softmax_collect_arguments>(k.collect, &addresses);
        model.add<softmax_penalties_arguments>(k.penalties, &addresses);
        model.add<softmax_penalty_gap_arguments>(k.penalty_gap, &addresses);
        model.add<softmax_totals_arguments>(k.totals, &addresses);
        model.add(cubome::stage_kernels<float, 64>::table);
        replace_softmax_device(&k, &library, limits);
        replace_staged_kernels(&cubome::stage_kernels<float, 64>::table);
    }
    ~with_softmax() {
        cubome::detail::replace_staged_kernels<float>(nullptr);
        cubome::detail::replace_softmax_device(nullptr, nullptr);
    }

    blas_model blas;
    cubome::detail::blas_library library;
};

}  // namespace simt_softmax
