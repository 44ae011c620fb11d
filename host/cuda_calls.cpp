// SPDX-License-Identifier: Apache-2.0
#include "host/cuda_calls.hpp"

#include <memory>
#include <string>
#include <utility>

namespace cubome::detail {
namespace {

std::atomic<cuda_runtime*> replacement{nullptr};

}  // namespace

cuda_failure classify(int code) noexcept {
    switch (code) {
        case 2:  // cudaErrorMemoryAllocation
            return cuda_failure::out_of_memory;

        case 46:   // DevicesUnavailable
        case 216:  // DeviceAlreadyInUse
        case 600:  // NotReady
        case 802:  // SystemNotReady
        case 805:  // MpsConnectionFailed
        case 806:  // MpsRpcFailure
        case 807:  // MpsServerNotReady
        case 808:  // MpsMaxClientsReached
        case 809:  // MpsMaxConnectionsReached
        case 909:  // Timeout
            return cuda_failure::retry;

        case 3:    // InitializationError
        case 34:   // StubLibrary
        case 35:   // InsufficientDriver
        case 36:   // CallRequiresNewerDriver
        case 100:  // NoDevice
        case 101:  // InvalidDevice
        case 102:  // DeviceNotLicensed
        case 103:  // SoftwareValidityNotEstablished
        case 127:  // StartupFailure
        case 209:  // NoKernelImageForDevice
        case 222:  // UnsupportedPtxVersion
        case 803:  // SystemDriverMismatch
        case 804:  // CompatNotSupportedOnDevice
            return cuda_failure::unavailable;

        case 214:  // ECCUncorrectable
        case 220:  // NvlinkUncorrectable
        case 226:  // Contained
        case 700:  // IllegalAddress
        case 702:  // LaunchTimeout
        case 710:  // Assert
        case 714:  // HardwareStackError
        case 715:  // IllegalInstruction
        case 716:  // MisalignedAddress
        case 717:  // InvalidAddressSpace
        case 718:  // InvalidPc
        case 719:  // LaunchFailure
        case 721:  // TensorMemoryLeak
        case 810:  // MpsClientTerminated
        case 911:  // ExternalDevice
            return cuda_failure::device_lost;

        default:
            return cuda_failure::contract;
    }
}

void cuda_runtime::forget(int code) noexcept {
    if (classify(code) != cuda_failure::device_lost) calls_.forget_error.function();
}

void cuda_runtime::fail(int code, const char* call, const char* place) {
    const cuda_failure failure = classify(code);
    const std::string name = calls_.error_name(code);
    if (failure == cuda_failure::device_lost) {
        auto first = std::make_unique<device_lost>(code, name, call, place, failure);
        const device_lost* none = nullptr;
        // Kept for the rest of the process: it is what every later call says.
        if (lost_.compare_exchange_strong(none, first.get())) first.release();
        refuse_if_lost();
    }
    // A caller who asks the runtime for its last error is not to find ours.
    forget(code);
    const cuda_error error(code, name, call, place, failure);
    if (failure == cuda_failure::unavailable) throw backend_unavailable(error.what());
    throw error;
}

cuda_runtime* current_cuda_runtime() {
    cuda_runtime* const replaced = replacement;
    return replaced != nullptr ? replaced : linked_cuda_runtime();
}

void replace_cuda_runtime(cuda_runtime* runtime) {
    replacement = runtime;
}

}  // namespace cubome::detail
