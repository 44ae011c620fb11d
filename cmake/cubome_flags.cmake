# SPDX-License-Identifier: Apache-2.0
# What our own code is compiled with; users get none of it.

add_library(cubome_flags INTERFACE)
target_compile_options(cubome_flags INTERFACE
    $<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang>:-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor>)
if(CUBOME_WERROR)
    target_compile_options(cubome_flags INTERFACE $<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang>:-Werror>)
endif()
if(CUBOME_SANITIZE)
    target_compile_options(cubome_flags INTERFACE
        $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${CUBOME_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1>)
    target_link_options(cubome_flags INTERFACE -fsanitize=${CUBOME_SANITIZE})
endif()

# xsimd's headers warn under -Wpedantic and -Wshadow.
add_library(cubome_xsimd INTERFACE)
get_target_property(xsimd_include xsimd INTERFACE_INCLUDE_DIRECTORIES)
target_include_directories(cubome_xsimd SYSTEM INTERFACE ${xsimd_include})
