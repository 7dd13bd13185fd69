# frozen_string_literal: true

require "etc"
require "json"
require "time"

module Bench
  # Many records, put together: a median of the rounds, and how far they lie apart.
  class Results
    # least:: and most: the extremes of the rounds
    Figure = Struct.new(:median, :least, :most) do
      def self.of(values)
        sorted = values.sort
        middle = sorted.length / 2
        median = sorted.length.odd? ? sorted[middle] : sorted[middle - 1, 2].sum / 2.0
        new(median, sorted.first, sorted.last)
      end

      # @return [Float] half of the distance of the extremes, in parts of the median
      def spread
        median.zero? ? 0.0 : ((most - least) / 2.0 / median).abs
      end
    end

    Column = Struct.new(:name, :cell, :key, :unit)

    attr_reader :document

    # @param rounds [Rounds]
    # @param command [String] what was typed
    def self.of(rounds, command)
      new({ "taken" => Time.now.utc.iso8601, "command" => command, "machine" => machine,
            "versions" => rounds.versions, "records" => rounds.records })
    end

    def self.load(path)
      new(JSON.parse(File.read(path)))
    end

    def self.machine
      cpu = File.foreach("/proc/cpuinfo").grep(/\Amodel name/).first.to_s.split(": ", 2).last
      { "cpu" => cpu.to_s.strip, "cpus" => Etc.nprocessors, "kernel" => Etc.uname[:release],
        "congestion control" => congestion_control, "ruby" => RUBY_DESCRIPTION,
        "load average before" => @before, "load average" => average }
    end

    # To be called before the first round.
    def self.begin
      @before = average
    end

    def self.average
      File.read("/proc/loadavg").split.first(3).join(" ")
    end

    # It is part of what a write on loopback costs.
    def self.congestion_control
      File.read("/proc/sys/net/ipv4/tcp_congestion_control").strip
    rescue SystemCallError
      nil
    end

    private_class_method :average, :congestion_control

    # @param document [Hash] what stands in a file of results
    def initialize(document)
      @document = document
    end

    def write(path)
      File.write(path, "#{JSON.pretty_generate(document.merge("summary" => summary))}\n")
    end

    def records
      document["records"]
    end

    # @return [Array<String>] in the order in which they first came
    def peers
      records.sort_by { |record| record["round"] }.map { |record| record["peer"] }.uniq
    end

    # @return [Array<Column>]
    def columns
      records.map { |record| record["cell"] }.uniq.flat_map do |name|
        cell = CELLS.fetch(name)
        cell.measures.map { |column, key| Column.new(column, name, key, cell.unit) }
      end
    end

    # @return [Hash{Integer => Float}] by round
    def values(column, peer)
      of = records.select { |one| one["cell"] == column.cell && one["peer"] == peer }
      of.to_h { |one| [one["round"], one[column.key]] }.compact
    end

    # @return [Figure, nil]
    def figure(column, peer)
      values = values(column, peer).values
      Figure.of(values) unless values.empty?
    end

    # Ratio to `base`, round by round.
    #
    # @return [Figure, nil]
    def ratio(column, peer, base)
      bases = values(column, base)
      ratios = values(column, peer).filter_map do |round, value|
        value / bases[round] if bases[round]&.positive?
      end
      Figure.of(ratios) unless ratios.empty?
    end

    # @return [Array<String>] what went wrong, in words
    def errors
      records.filter_map do |one|
        "#{one["peer"]}, #{one["cell"]}, round #{one["round"]}: #{one["error"]}" if one["error"]
      end
    end

    private

    def summary
      columns.to_h do |column|
        figures = peers.to_h { |peer| [peer, figure(column, peer)&.to_h] }.compact
        [column.name, { "unit" => column.unit, "peers" => figures }]
      end
    end
  end
end
