# SPDX-License-Identifier: EUPL-1.2
# Measurements, one program a question: bench/NOUN.c, and what stands in bench/NOUN/ if it has more than one file.
# Built on demand, in Release: `ninja bench_decide && ./bench_decide`.
file(GLOB BENCHES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bench/*.c)
foreach(SOURCE ${BENCHES})
    get_filename_component(NOUN ${SOURCE} NAME_WE)
    file(GLOB MORE CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bench/${NOUN}/*.c)
    add_executable(bench_${NOUN} EXCLUDE_FROM_ALL ${SOURCE} ${MORE})
    target_link_libraries(bench_${NOUN} PRIVATE belfry_proxy)
endforeach()
