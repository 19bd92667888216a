# SPDX-License-Identifier: Apache-2.0
#
# What `cmake --install` puts where. The component `program` is what runs: the binary looks for
# ../share/demilune from where it stands, so the tree may be moved (DESTDIR, --prefix). The component
# `desk` is for people: man pages, completion, the systemd unit.

install(TARGETS demilune COMPONENT program)
install(DIRECTORY lua plugins DESTINATION ${CMAKE_INSTALL_DATADIR}/demilune COMPONENT program
  PATTERN "*_spec.lua" EXCLUDE PATTERN "make_reference.lua" EXCLUDE)
install(DIRECTORY ${LUAJIT_SHARE}/jit DESTINATION ${CMAKE_INSTALL_DATADIR}/demilune/luajit
  COMPONENT program)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
install(FILES ${luajit_prefix}/COPYRIGHT RENAME COPYRIGHT.luajit # which is linked in
  DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)

install(FILES core/share/demilune.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT desk)
install(FILES core/share/demilune.yaml.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5 COMPONENT desk)
install(FILES core/share/demilune.bash RENAME demilune
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT desk)
install(FILES core/share/_demilune DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT desk)

# The unit names the program by its full path, known when it is installed.
install(CODE "
  set(program \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/demilune\")
  configure_file(\"${CMAKE_SOURCE_DIR}/core/share/demilune.service.in\"
    \"${CMAKE_BINARY_DIR}/demilune.service\" @ONLY)" COMPONENT desk)
install(FILES ${CMAKE_BINARY_DIR}/demilune.service DESTINATION lib/systemd/system COMPONENT desk)
