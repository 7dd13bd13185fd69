# frozen_string_literal: true

module Torture
  # The promises of all faults, side by side with what was measured.
  class Table
    HEAD = %w[fault promised measured kept].freeze

    def initialize(promises)
      @rows = promises.map { |one| [one.fault, one.promised, one.measured, one.verdict] }
    end

    def to_s
      lines = [HEAD, *@rows.chunk_while { |a, b| a[0] == b[0] }.flat_map { |rows| once(rows) }]
      lines.map { |cells| line(cells) }.insert(1, widths.map { |width| "-" * width }.join("  "))
           .join("\n")
    end

    private

    # A fault's name stands on the first of its rows.
    def once(rows) = rows.each_with_index.map { |row, i| i.zero? ? row : ["", *row.drop(1)] }

    def line(cells) = cells.zip(widths).map { |cell, width| cell.ljust(width) }.join("  ").rstrip

    def widths
      @widths ||= [HEAD, *@rows].transpose.map { |column| column.map(&:length).max }
    end
  end
end
