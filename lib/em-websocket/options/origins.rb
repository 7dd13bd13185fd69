# frozen_string_literal: true

module EventMachine
  module WebSocket
    # The option `:origins`.
    #
    # @api private
    module Origins
      # @param option [Array<String, Regexp, nil>, String, Regexp]
      # @return [Array<String, Regexp, nil>, nil] frozen; nil: everybody's
      # @raise [ArgumentError] if it holds anything else
      def self.of(option)
        return if option == 0 # rubocop:disable Style/NumericPredicate -- it may be anything

        origins = option.is_a?(Array) ? option : [option]
        origins.map do |origin|
          next origin if origin.nil? || origin.is_a?(Regexp)
          next origin.dup.freeze if origin.is_a?(String)

          raise ArgumentError, "origins: #{Checks.shown(origin)} is no String, Regexp or nil"
        end.freeze
      end
    end
  end
end
