# SPDX-License-Identifier: Apache-2.0
# Decides whether the CUDA half is compiled, and for which devices: CUBOME_HAS_CUDA.

set(CUBOME_HAS_CUDA OFF)
if(NOT CUBOME_CUDA STREQUAL "OFF")
    include(CheckLanguage)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
        if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
            set(CMAKE_CUDA_ARCHITECTURES "80-real;90")
        endif()
        enable_language(CUDA)
        set(CUBOME_HAS_CUDA ON)
    elseif(CUBOME_CUDA STREQUAL "ON")
        message(FATAL_ERROR "CUBOME_CUDA is ON, but no CUDA compiler was found: put nvcc on the PATH or set CUDACXX")
    endif()
endif()
message(STATUS "cubome: CUDA half ${CUBOME_HAS_CUDA}")
