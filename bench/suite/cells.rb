# frozen_string_literal: true

module Bench
  # A load, and what is measured under it.
  #
  # mode:: what the servers do with a message
  # load:: the arguments of the load generator
  # measures:: the columns it gives, and the names they have in the load generator's report
  # apart:: server and client have a CPU each
  Cell = Struct.new(:name, :group, :mode, :load, :measures, :unit, :apart,
                    keyword_init: true) do
    def tls?
      load.include?("--tls")
    end
  end

  # Cells, by name.
  CELLS = {} # rubocop:disable Style/MutableConstant -- filled below

  class << self
    private

    def cell(name, group, mode, load, unit: "us", **options)
      load = load.split
      load += %w[--tls] if group == :tls
      measures = options.delete(:measures) || { name => "cost" }
      CELLS[name] = Cell.new(name: name, group: group, mode: mode, load: load, unit: unit,
                             measures: measures, **options)
    end

    def quantiles(name)
      { "#{name} p50" => "p50", "#{name} p99" => "p99", "#{name} p99.9" => "p999" }
    end
  end

  cell "e64p1", :plain, "echo", "echo --connections 64 --bytes 64 --depth 1"
  cell "e64p16", :plain, "echo", "echo --connections 64 --bytes 64 --depth 16"
  cell "e1kp16", :plain, "echo", "echo --connections 64 --bytes 1024 --depth 16"
  cell "e64kp4", :plain, "echo", "echo --connections 16 --bytes 65536 --depth 4"
  cell "bc8", :plain, "broadcast", "broadcast --connections 1000 --bytes 100 --depth 8"
  cell "fire", :plain, "count", "fire --connections 4 --bytes 64"
  cell "connect", :plain, "echo", "connect --depth 16"
  cell "idle", :plain, "echo", "idle --connections 5000 --bytes 1024",
       unit: "B", measures: { "idle" => "cost", "idle1k" => "cost_used" }

  cell "t64p1", :tls, "echo", "echo --connections 64 --bytes 64 --depth 1"
  cell "t1kp16", :tls, "echo", "echo --connections 64 --bytes 1024 --depth 16"
  cell "t64kp4", :tls, "echo", "echo --connections 16 --bytes 65536 --depth 4"
  cell "tconn", :tls, "echo", "connect --depth 16"
  cell "tidle", :tls, "echo", "idle --connections 2000 --bytes 1024",
       unit: "B", measures: { "tidle" => "cost", "tidle1k" => "cost_used" }

  cell "bc64", :channels, "broadcast",
       "broadcast --connections 1000 --bytes 100 --depth 64 --publishers 64"
  { "pub1k" => 1_000, "pub10k" => 10_000 }.each do |name, connections|
    cell name, :channels, "broadcast",
         "publish --connections #{connections} --bytes 100 --limit 90",
         measures: { "#{name} p50" => "p50", "#{name} p99" => "p99" }, apart: true
  end

  cell "pingpong", :latency, "echo", "pingpong --connections 1 --bytes 64 --spin",
       measures: quantiles("pingpong"), apart: true
  cell "open5k", :latency, "echo", "open --connections 64 --bytes 64 --rate 5000 --spin",
       measures: quantiles("open5k"), apart: true

  [10, 100, 1_000, 10_000].each do |connections|
    cell "c#{connections}", :scale, "echo",
         "echo --bytes 64 --depth 1 --connections #{connections} --limit 60"
  end
  { "16b" => 16, "256b" => 256, "4k" => 4096, "64k" => 65_536, "1m" => 1 << 20,
    "16m" => 16 << 20 }.each do |name, bytes|
    cell "s#{name}", :scale, "echo",
         "echo --connections 4 --depth 1 --bytes #{bytes} --limit 60"
  end
end
