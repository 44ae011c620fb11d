// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The version of these headers, semantic versioning.
#define CUBOME_VERSION_MAJOR 0
#define CUBOME_VERSION_MINOR 1
#define CUBOME_VERSION_PATCH 0
#define CUBOME_VERSION_STRING "0.1.0"
