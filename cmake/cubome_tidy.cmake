# SPDX-License-Identifier: Apache-2.0
# clang-tidy on the library's host sources; their findings are in the headers that they include, too.

option(CUBOME_TIDY "Run clang-tidy while the library is compiled" OFF)
if(CUBOME_TIDY)
    find_program(CUBOME_CLANG_TIDY NAMES clang-tidy-14 clang-tidy REQUIRED)
    set_target_properties(cubome cubome_staged PROPERTIES CXX_CLANG_TIDY "${CUBOME_CLANG_TIDY};--quiet")
endif()
