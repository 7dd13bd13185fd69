# frozen_string_literal: true

EXTENSION = "lib/em-websocket/em_websocket_rs.so"
TARGET_DIRECTORY = ENV.fetch("CARGO_TARGET_DIR", "target")

desc "Build the extension for this working tree (#{EXTENSION})"
task :compile do
  quietly "compile", Cargo.find, "build", "--release", "--locked", "--package", "em_websocket_rs",
          env: { "RUBY" => RbConfig.ruby }
  # Replaces the file where it differs: to write into it would pull it from under whoever runs it.
  FileUtils.install("#{TARGET_DIRECTORY}/release/libem_websocket_rs.so", EXTENSION, mode: 0o755)
end

desc "Remove everything that was built"
task :clean do
  rm_rf ["target", "pkg", "doc", ".yardoc", EXTENSION]
end
