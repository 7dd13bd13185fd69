# frozen_string_literal: true

require "fileutils"
require "tmpdir"
require_relative "../../rakelib/layers"

RSpec.describe Layers, :extension do
  around { |example| Dir.mktmpdir { |root| Dir.chdir(root) { example.run } } }

  order = [%w[lib], %w[server/mod], %w[server/listener], %w[server/driver], %w[server/outbound],
           %w[server/config server/stats]]

  # Complaints about these files, in a crate where no other is out of its place.
  define_method(:complaints) do |files|
    well = { "lib" => "pub mod server;\npub use server::Options;",
             "server/mod" => "pub use config::Options;\npub use self::stats::Stats as Numbers;",
             "server/listener" => "use super::{config::Options, driver::{self, timers::Timer}};",
             "server/driver/mod" => "mod timers;\nuse self::timers::Timer;",
             "server/driver/timers" => "use super::Driver;\nuse crate::server::outbound::Buffer;",
             "server/outbound" => "", "server/config" => "", "server/stats" => "" }
    well.merge(files).each do |file, code|
      FileUtils.mkdir_p(File.dirname("src/#{file}"))
      File.write("src/#{file}.rs", code)
    end
    described_class.new("src", order: order).complaints
  end

  it "has no complaint where every import points down" do
    expect(complaints({})).to be_empty
  end

  [
    ["a use of super", "server/config", "use super::listener::Server;", "server/listener"],
    ["a use of the crate", "server/outbound", "use crate::server::driver::Driver;",
     "server/driver/mod"],
    ["nested braces", "server/outbound",
     "use crate::{\n  server::{\n    config,\n    driver::timers::{self, Timer},\n  },\n};",
     "server/driver/timers"],
    ["a re-export of the crate's", "server/stats", "use crate::Options;", "server/config"],
    ["a re-export under another name", "server/config", "use crate::server::Numbers;",
     "server/stats"],
    ["a path without a use", "server/stats", "fn stop() { super::listener::stop() }",
     "server/listener"],
    ["a module of a directory that stands for itself", "server/outbound",
     "use super::driver::timers::Timer;", "server/driver/timers"],
    ["a file of the same layer", "server/config", "use super::stats::Stats;", "server/stats"],
    ["a module inside the file", "server/config",
     "mod inner {\n    use super::super::stats::Stats;\n}", "server/stats"],
    ["a use behind a string, a comment and a lifetime", "server/config",
     "const A: &str = \"//\\\"\";\nfn a<'a>(b: &'a str) -> char { '\"' }\nuse super::stats::Stats;",
     "server/stats"]
  ].each do |what, from, code, to|
    it "complains about #{what} that points up" do
      expect(complaints(from => code)).to eq ["#{from}.rs imports #{to}.rs, which is not below it"]
    end
  end

  it "does not look at tests, comments and strings" do
    code = <<~RUST
      //! As [`super::listener::Server`] has it.
      #[cfg(all(test, not(feature = "loom")))]
      mod tests { use super::super::listener::Server; fn a() { if true {} } }
      #[cfg(test)]
      use super::listener::Server;
      #[cfg(test)]
      mod models;
      const A: &str = "super::listener::Server"; // super::listener::Server
      const B: &str = r#"use super::listener::Server;"#;
      #[cfg(not(test))]
      use std::sync::Arc;
    RUST
    expect(complaints("server/config" => code,
                      "server/config/models" => "use crate::server::listener::Server;")).to be_empty
  end

  it "complains about a file that is in no layer, and a layer without a file" do
    expect(complaints("server/tcp" => "")).to eq ["server/tcp.rs is in no layer"]
    File.delete("src/server/stats.rs")
    File.delete("src/server/tcp.rs")
    expect(described_class.new("src", order: order).complaints).to eq ["there is no server/stats"]
  end

  it "complains where an arrow of the core itself is turned round" do
    core = File.expand_path("../../src", __dir__)
    FileUtils.cp_r(core, "src")
    expect(described_class.new("src").complaints).to be_empty
    File.write("src/server/inbound.rs", "use super::connection::Shared;", mode: "a")
    expect(described_class.new("src").complaints)
      .to contain_exactly a_string_matching(%r{inbound.rs imports server/connection})
  end
end
