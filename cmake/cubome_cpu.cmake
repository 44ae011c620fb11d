# SPDX-License-Identifier: Apache-2.0
# Sources that are compiled once for each precision and instruction set of the CPU: one object each, so that nothing
# compiled for a wider instruction set is shared with the rest.

set(cubome_isas baseline)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(cubome_isas ${CUBOME_CPU_ISAS})
    list(APPEND cubome_isas baseline)
    list(REMOVE_DUPLICATES cubome_isas)
endif()
set(cubome_flags_baseline "")
set(cubome_flags_avx2 -march=x86-64-v3)
set(cubome_flags_avx512 -march=x86-64-v4)
# GCC 12 trips over its own AVX-512 headers, and over xsimd's way to store an SSE2 mask.
set(cubome_warnings_baseline -Wno-maybe-uninitialized)
set(cubome_warnings_avx2 -Wno-maybe-uninitialized)
set(cubome_warnings_avx512 -Wno-uninitialized -Wno-maybe-uninitialized)

# cubome_add_cpu_objects(<library> <prefix of the objects' targets> [ONLY <precision>] <source>...)
# The sources see CUBOME_CPU_REAL (float, double) and CUBOME_CPU_ISA (baseline, …); the library sees CUBOME_HAS_CPU_….
function(cubome_add_cpu_objects library prefix)
    cmake_parse_arguments(PARSE_ARGV 2 arg "" "ONLY" "")
    if(NOT arg_ONLY)
        set(arg_ONLY float double)
    endif()
    foreach(isa IN LISTS cubome_isas)
        foreach(real IN LISTS arg_ONLY)
            set(target ${prefix}_${real}_${isa})
            add_library(${target} OBJECT ${arg_UNPARSED_ARGUMENTS})
            target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
            target_compile_features(${target} PRIVATE cxx_std_20)
            target_compile_definitions(${target} PRIVATE CUBOME_BUILDING_LIBRARY CUBOME_CPU_REAL=${real}
                CUBOME_CPU_ISA=${isa})
            # errno and floating-point traps would keep the compiler from selects; neither option changes a result.
            target_compile_options(${target} PRIVATE -ffp-contract=off -fno-math-errno -fno-trapping-math
                ${cubome_flags_${isa}} ${cubome_warnings_${isa}} $<$<CONFIG:Release,RelWithDebInfo>:-O2>)
            target_link_libraries(${target} PRIVATE cubome_flags cubome_xsimd)
            set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
            target_sources(${library} PRIVATE $<TARGET_OBJECTS:${target}>)
        endforeach()
        if(NOT isa STREQUAL baseline)
            string(TOUPPER ${isa} upper)
            target_compile_definitions(${library} PRIVATE CUBOME_HAS_CPU_${upper})
        endif()
    endforeach()
endfunction()
