# frozen_string_literal: true

module EventMachine
  module WebSocket
    # A line of the log. What a client has sent cannot end it, nor reach a terminal.
    #
    # @api private
    module LogLine
      # The longest value, in characters.
      LONGEST = 200

      # Values that stand in a text as they are.
      PLAIN = %r{\A[\w./:%@+,~*?&\[\]-]+\z}

      private_constant :LONGEST, :PLAIN

      class << self
        # @param event [Symbol]
        # @param fields [Hash{Symbol => Object}]
        # @param format [Symbol]
        # @return [String] ASCII
        def of(event, fields, format)
          fields = fields.transform_values { |value| value.is_a?(Numeric) ? value : shown(value) }
          return json({ event: event, **fields }) if format == :json

          [event, *fields.map { |name, value| "#{name}=#{quoted(value)}" }].join(" ")
        end

        private

        def shown(value)
          text = value.to_s.dup.force_encoding(Encoding::UTF_8).scrub
          text.size > LONGEST ? "#{text[0, LONGEST]}..." : text
        end

        def quoted(value)
          return value if value.is_a?(Numeric) || (value.ascii_only? && value.match?(PLAIN))

          "\"#{escaped(value.gsub(/["\\]/) { |found| "\\#{found}" })}\""
        end

        # Characters beyond printable ASCII as their numbers.
        def escaped(text)
          text.gsub(/[^ -~]/) do |found|
            units = found.encode(Encoding::UTF_16BE).unpack("n*")
            units.map { |unit| format("\\u%04x", unit) }.join
          end
        end

        def json(fields)
          require "json"
          escaped(JSON.generate(fields))
        end
      end
    end
  end
end
