# SPDX-License-Identifier: Apache-2.0
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/cubome)

install(TARGETS cubome cubome_staged EXPORT cubome_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/cubome DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT cubome_targets NAMESPACE cubome:: FILE cubome-targets.cmake DESTINATION ${package_dir})

configure_package_config_file(cmake/cubome-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/cubome-config.cmake
    INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/cubome-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/cubome-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/cubome-config-version.cmake
    DESTINATION ${package_dir})
