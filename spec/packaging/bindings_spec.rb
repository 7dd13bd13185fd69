# frozen_string_literal: true

require_relative "../apps/program"
require_relative "../../ext/em_websocket_rs/bindings"
require_relative "../../rakelib/native/platform"

# Which Rubies are built for with what was generated beforehand, and which with libclang.
RSpec.describe Bindings, :ours do
  let(:config) do
    { "MAJOR" => "3", "MINOR" => "3", "host_cpu" => "x86_64", "CFLAGS" => "-O2",
      "CPPFLAGS" => "-Wdate-time -D_FORTIFY_SOURCE=2", "cflags" => "-O3", "cppflags" => "",
      "DEFS" => "" }
  end

  def settings(host: "x86_64-unknown-linux-gnu", **other)
    described_class.settings(host, config.merge(other.transform_keys(&:to_s)))
  end

  NativePlatform::ALL.product(NativeRuby::ALL).each do |platform, ruby|
    it "are there for Ruby #{ruby} on #{platform}, of the rb-sys that Cargo.lock names" do
      minor = ruby.version.split(".").last
      told = settings(host: platform.rust, MINOR: minor, host_cpu: platform.rust[/\A[^-]+/])
      expect(told).to start_with("[target.#{platform.rust}.rb]\n")
        .and include("ruby_api_version=\\\"#{ruby}\\\"", "\nversion_eq_3_#{minor} = \"true\"\n")

      code = File.read(told[/RB_SYS_BINDINGS_PATH = "(.+)"/, 1])
      locked = File.read(File.join(Program::ROOT, "Cargo.lock"))
                   .match(/^name = "rb-sys"\nversion = "(.+)"/)[1]
      expect(code).to start_with("// Ruby #{ruby}, #{platform}, rb-sys #{locked}")
    end
  end

  {
    "a version of Ruby that there is none for" => { MINOR: "2" },
    "a processor that there is none for" => { host_cpu: "riscv64", host: "riscv64gc-linux-gnu" },
    "a Cargo for another processor than Ruby" => { host: "aarch64-unknown-linux-gnu" },
    "musl" => { host: "x86_64-unknown-linux-musl" },
    "macOS" => { host: "x86_64-apple-darwin" },
    "a Ruby with checks of its own" => { CPPFLAGS: "-DRUBY_DEBUG=1" },
    "a Ruby that is configured otherwise" => { cppflags: "-O2 -D USE_FLONUM=0" }
  }.each do |what, options|
    it "are not for #{what}" do
      expect(settings).not_to be_nil
      expect(settings(**options)).to be_nil
    end
  end
end
