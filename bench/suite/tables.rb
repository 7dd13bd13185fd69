# frozen_string_literal: true

module Bench
  # Results as Markdown, which reads well in a terminal too.
  class Tables
    def initialize(results)
      @results = results
      @peers = results.peers
    end

    def to_s
      [["What a unit costs (us of CPU, or bytes; latencies in us), with half the spread", cost],
       ["Times cheaper than em-websocket (least to most of the rounds)", gains("em-websocket")],
       ["Times cheaper than before (least to most of the rounds)", gains("before")],
       ["Times the limit, raw (least to most of the rounds)", limits("raw")],
       ["Units a second", rates]]
        .filter_map { |title, rows| "#{title}\n\n#{table(rows)}" if rows }.join("\n\n")
    end

    private

    def cost
      rows do |column, peer|
        figure = @results.figure(column, peer)
        figure && format("%<is>s ±%<spread>.0f%%", is: short(figure.median),
                                                   spread: figure.spread * 100)
      end
    end

    def gains(base)
      ratios(base) { |column, peer| @results.ratio(column, base, peer) }
    end

    def limits(base)
      ratios(base) { |column, peer| @results.ratio(column, peer, base) }
    end

    def ratios(base)
      return unless @peers.include?(base)

      rows do |column, peer|
        figure = yield(column, peer)
        figure && "#{short(figure.median)} (#{short(figure.least)}-#{short(figure.most)})"
      end
    end

    def rates
      columns = @results.columns.select { |column| column.key == "cost" && column.unit == "us" }
      return if columns.empty?

      rows(columns) do |column, peer|
        seconds = @results.figure(column.dup.tap { |one| one.key = "seconds" }, peer)
        units = @results.figure(column.dup.tap { |one| one.key = "units" }, peer)
        units && (units.median / seconds.median).round.to_s
      end
    end

    def rows(columns = @results.columns)
      [["", *columns.map(&:name)]] +
        @peers.map do |peer|
          [peer, *columns.map { |column| yield(column, peer) || "-" }]
        end
    end

    def table(rows)
      widths = rows.transpose.map { |cells| cells.map(&:length).max }
      head, *body = rows.map do |cells|
        first, *rest = cells.zip(widths)
        "| #{[first.first.ljust(first.last), *rest.map { |text, width| text.rjust(width) }]
               .join(" | ")} |"
      end
      rule = "|#{widths.each_with_index.map { |w, i| i.zero? ? "-" * (w + 2) : "#{"-" * (w + 1)}:" }
                       .join("|")}|"
      [head, rule, *body].join("\n")
    end

    # Three digits that matter.
    def short(number)
      case number.abs
      when 0...1 then format("%.3f", number)
      when 1...10 then format("%.2f", number)
      when 10...100 then format("%.1f", number)
      else number.round.to_s.gsub(/(?<=\d)(?=(\d{3})+\z)/, ",")
      end
    end
  end
end
