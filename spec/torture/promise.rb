# frozen_string_literal: true

module Torture
  # A row of the table: what is promised where something goes wrong, and what was counted. Without a
  # limit it is only told; without a value it was left out, and the unit says why.
  Promise = Struct.new(:fault, :text, :value, :unit, :limit, :bound, keyword_init: true) do
    def promise? = !limit.nil?
    def left_out? = value.nil?
    def kept? = promise? && within?
    def broken? = promise? && !within?

    def promised
      case limit
      when :at_most then "#{text}: at most #{say(bound)}"
      when :at_least then "#{text}: at least #{say(bound)}"
      when :equals then "#{text}: #{say(bound)}"
      else text
      end
    end

    def measured = left_out? ? "left out: #{unit}" : say(value)

    def verdict
      return "" unless promise?

      kept? ? "yes" : "NO"
    end

    private

    def within?
      case limit
      when :at_most then value <= bound
      when :at_least then value >= bound
      else value == bound
      end
    end

    def say(number) = [digits(number), unit].compact.join(" ")

    def digits(number)
      return number.to_s unless number.is_a?(Numeric)

      decimals = number.is_a?(Float) ? number.abs.between?(1e-9, 10) && 2 : 0
      whole, rest = format("%.#{decimals || 0}f", number).split(".")
      [whole.gsub(/\d(?=(\d{3})+\z)/, "\\0,"), rest].compact.join(".")
    end
  end
end
