# frozen_string_literal: true

module Bench
  # Results as a picture: for each column a panel of bars, on a logarithmic scale, shortest best.
  class Plot
    PANEL = { width: 420, label: 128, value: 74, bar: 18, head: 34, foot: 16 }.freeze
    ACROSS = 2
    MARGIN = 16
    TITLE = 40
    COLOURS = { "ours" => "#c0392b", "ours-attached" => "#e08e79", "raw" => "#7f8c8d" }.freeze
    OTHERS = "#9db7d5"

    def initialize(results, title = "What a unit costs the server (less is better, log scale)")
      @results = results
      @title = title
      @peers = results.peers
    end

    def to_s
      step = PANEL[:width] + MARGIN
      height = PANEL[:head] + (@peers.length * PANEL[:bar]) + PANEL[:foot]
      columns = @results.columns
      drawn = columns.each_with_index.map do |column, index|
        at = "#{MARGIN + (index % ACROSS * step)} #{TITLE + (index / ACROSS * height)}"
        %(<g transform="translate(#{at})">#{panel(column, bars(column))}</g>)
      end
      down = columns.length.fdiv(ACROSS).ceil
      svg((ACROSS * step) + MARGIN, TITLE + (down * height) + MARGIN, drawn)
    end

    private

    def bars(column)
      figures = @peers.map { |peer| [peer, @results.figure(column, peer)] }
      figures.select { |_, figure| figure&.median&.positive? }
             .sort_by { |_, figure| figure.median }
    end

    def svg(width, height, parts)
      <<~SVG
        <svg xmlns="http://www.w3.org/2000/svg" width="#{width}" height="#{height}" viewBox="0 0 #{width} #{height}" font-family="sans-serif" font-size="11">
        <rect width="100%" height="100%" fill="white"/>
        <text x="#{MARGIN}" y="24" font-size="15" font-weight="bold">#{@title}</text>
        #{parts.join("\n")}
        </svg>
      SVG
    end

    def panel(column, bars)
      unit = { "us" => "microseconds", "B" => "bytes" }.fetch(column.unit)
      head = %(<text y="20" font-weight="bold">#{column.name} <tspan fill="#777" ) +
             %(font-weight="normal">#{unit}</tspan></text>)
      return head if bars.empty?

      length = scale(bars.map { |_, figure| figure.median })
      rows = bars.each_with_index.map do |(peer, figure), index|
        row(peer, figure, PANEL[:head] + (index * PANEL[:bar]), length)
      end
      head + rows.join
    end

    # The length of a value's bar.
    def scale(medians)
      # The shortest bar must be seen, too.
      floor = Math.log10(medians.min) - 0.15
      reach = Math.log10(medians.max) - floor
      room = PANEL[:width] - PANEL[:label] - PANEL[:value]
      ->(value) { ((Math.log10(value) - floor) / reach * room).clamp(1, room).round(1) }
    end

    def row(peer, figure, top, length)
      middle = top + 5
      from, to = [figure.least, figure.most].map { |value| PANEL[:label] + length.call(value) }
      ours = peer.start_with?("ours") ? ' font-weight="bold"' : ""
      %(<text x="#{PANEL[:label] - 6}" y="#{top + 9}" text-anchor="end"#{ours}>#{peer}</text>) +
        %(<rect x="#{PANEL[:label]}" y="#{top}" width="#{length.call(figure.median)}" ) +
        %(height="11" fill="#{COLOURS.fetch(peer, OTHERS)}"/>) +
        %(<path d="M#{from} #{middle}H#{to}" stroke="black" stroke-opacity=".6"/>) +
        %(<text x="#{[to, PANEL[:label] + length.call(figure.median)].max + 5}" ) +
        %(y="#{top + 9}">#{number(figure.median)}</text>)
    end

    def number(value)
      value >= 100 ? value.round.to_s.gsub(/(?<=\d)(?=(\d{3})+\z)/, ",") : format("%.3g", value)
    end
  end
end
