# frozen_string_literal: true

require_relative "native/again"
require_relative "native/crates"
require_relative "native/library"
require_relative "native/package"
require_relative "native/smoke"

# Directory of what is fetched and built on the way to native gems; hundreds of megabytes.
NATIVE_DIRECTORY = ENV.fetch("NATIVE_DIRECTORY", "tmp/native")

# The gem and its bill of materials, in pkg/.
def build_native_gem(platform, into)
  toolchain = NativeToolchain.new(NATIVE_DIRECTORY)
  libraries = NativeRuby::ALL.to_h do |ruby|
    [ruby.version, build_native_library(platform, ruby, toolchain)]
  end
  crates = Crates.new(Dir.pwd, toolchain.cargo, platform.rust)
  texts = { "LICENSES-OF-CRATES.txt" => crates.licenses }
  package = NativeGem.new(Dir.pwd, platform, libraries, texts).build(into)
  write_bill_of_materials(package, crates)
  puts "#{File.basename(package)}: #{File.size(package)} bytes"
  package
rescue Debian::Unavailable, NativeToolchain::Missing, Cargo::Missing => e
  abort "native: #{e.message}"
end

# The next version of Ruby's is built in its place, so it is put aside.
def build_native_library(platform, ruby, toolchain)
  built = NativeLibrary.new(platform, ruby, toolchain: toolchain, directory: NATIVE_DIRECTORY).build
  kept = File.join(NATIVE_DIRECTORY, "lib", platform.gem, ruby.version, "em_websocket_rs.so")
  FileUtils.mkdir_p(File.dirname(kept))
  FileUtils.cp(built, kept)
  kept
end

def write_bill_of_materials(package, crates)
  spec = Gem::Package.new(package).spec
  File.write(package.sub(/\.gem\z/, ".cdx.json"),
             crates.bill_of_materials(spec.name, spec.version.to_s))
end

def smoke_native_gem(platform)
  package = Dir["pkg/em-websocket-rs-*-#{platform}.gem"].max_by { |path| File.mtime(path) }
  abort "native: there is no gem for #{platform} in pkg/: rake native:#{platform}" unless package

  limit = NativeSmoke::LIBRARY_LIMIT * NativeRuby::ALL.size
  abort "native: #{package} is larger than #{limit} bytes" if File.size(package) > limit
  toolchain = NativeToolchain.new(NATIVE_DIRECTORY)
  NativeRuby::ALL.each do |ruby|
    NativeSmoke.new(platform, ruby, package, toolchain: toolchain, directory: NATIVE_DIRECTORY).run
  end
rescue Debian::Unavailable, NativeToolchain::Missing, NativeSmoke::Failure => e
  abort "native: #{e.message}"
end

def compare_native_gem(platform)
  NativeAgain.new(Dir.pwd, NATIVE_DIRECTORY).compare(build_native_gem(platform, "pkg"), platform)
  puts "#{platform}: built again elsewhere, it has the same bytes"
rescue NativeAgain::Difference => e
  abort "native: #{e.message}"
end

desc "Build a native gem for every platform, with its bill of materials, into pkg/"
task native: NativePlatform::ALL.map { |platform| "native:#{platform}" }

namespace :native do
  NativePlatform::ALL.each do |platform|
    desc "Build the native gem for #{platform}"
    task(platform.gem) { build_native_gem(platform, "pkg") }
  end

  desc "Build the native gems (or PLATFORM's), and again elsewhere: their bytes are the same"
  task :reproducible, [:platform] do |_, arguments|
    platforms = NativePlatform::ALL.select { |one| [nil, one.gem].include?(arguments.platform) }
    abort "native: there is no platform #{arguments.platform}" if platforms.empty?
    platforms.each { |platform| compare_native_gem(platform) }
  end

  desc "Generate Ruby's bindings: a source gem with them needs no libclang"
  task :bindings do
    toolchain = NativeToolchain.new(NATIVE_DIRECTORY)
    NativePlatform::ALL.product(NativeRuby::ALL) do |platform, ruby|
      library = NativeLibrary.new(platform, ruby, toolchain: toolchain, directory: NATIVE_DIRECTORY)
      library.bindings.write(Dir.pwd, "#{ruby}-#{platform}")
    end
  rescue Debian::Unavailable, NativeToolchain::Missing, Cargo::Missing => e
    abort "native: #{e.message}"
  end

  desc "Install the native gems in pkg/ where nothing can be built, and echo one message"
  task(:smoke) { NativePlatform::ALL.each { |platform| smoke_native_gem(platform) } }
end
