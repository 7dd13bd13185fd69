# frozen_string_literal: true

require_relative "../checks"
require_relative "../native"

module EventMachine
  module WebSocket
    # The option `:versions`.
    #
    # @api private
    module Versions
      # @param option [Array<Integer>, 0]
      # @return [Array<Integer>, nil] frozen; nil: the default
      # @raise [ArgumentError] if it is none, or holds anything but numbers of versions
      def self.of(option)
        return if option == 0 # rubocop:disable Style/NumericPredicate -- it may be anything

        known = Native::VERSIONS
        some = option.is_a?(Array) && !option.empty?
        return option.dup.freeze if some && option.grep_v(Integer).empty? && (option - known).empty?

        raise ArgumentError, "versions: #{Checks.shown(option)} is no Array with some of " \
                             "#{known.join(", ")}"
      end
    end
  end
end
